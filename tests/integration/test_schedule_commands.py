"""Commands about schedules: what is refused at once, JSON, and the same command twice."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from psycopg import Connection
from psycopg.rows import DictRow
from pydantic import TypeAdapter
from uuid_utils.compat import uuid7

from action_ledger.domain.actor import Actor
from action_ledger.domain.any_command import AnyCommand
from action_ledger.domain.commands import CreateSchedule, PauseSchedule, RunScheduleNow
from action_ledger.domain.errors import (
    ActionLedgerError,
    CommandReused,
    InvalidCron,
    InvalidSchedule,
    InvalidValue,
    TimeInPast,
    TimeTooFar,
    UnknownColumn,
    UnknownTable,
    UnknownTimeZone,
)
from action_ledger.domain.rule import Cron
from action_ledger.ops import Ledger
from action_ledger.ops.rules import schedule_command
from tests.schedules import (
    add_one,
    database_time,
    hourly,
    score,
    topics,
    work,
    written,
)

COMMANDS: TypeAdapter[AnyCommand] = TypeAdapter(AnyCommand)


@pytest.mark.usefixtures("places")
class TestRefusedAtOnce:
    @pytest.mark.parametrize(
        ("rule", "error"),
        [
            ({"cron": "61 * * * *", "timezone": "UTC"}, InvalidCron),
            ({"cron": "0 0 30 2 *", "timezone": "UTC"}, InvalidCron),
            ({"cron": "0 * * * *", "timezone": "Mars/Olympus"}, UnknownTimeZone),
            ({"cron": "0 * * * *"}, InvalidSchedule),
            ({"at": "2027-01-01T00:00"}, InvalidSchedule),
            ({"at": "2001-01-01T00:00", "timezone": "UTC"}, TimeInPast),
            ({"at": "2001-01-01T00:00+00:00", "timezone": "Mars/Olympus"}, UnknownTimeZone),
            ({"at": "2999-01-01T00:00", "timezone": "UTC"}, TimeTooFar),
            ({}, InvalidSchedule),
            ({"at": "2027-01-01", "cron": "0 * * * *", "timezone": "UTC"}, InvalidSchedule),
            ({"cron": "0 * * * *", "timezone": "UTC", "catch_up": "some"}, InvalidSchedule),
            ({"cron": "0 * * * *", "timezone": "UTC", "selection": "warm"}, InvalidSchedule),
        ],
    )
    def test_the_rule(
        self,
        ledger: Ledger,
        connection: Connection[DictRow],
        rule: dict[str, str],
        error: type[ActionLedgerError],
    ) -> None:
        with pytest.raises(error):
            add_one(ledger).schedule(**rule)
        assert written(connection) == 0

    def test_365_days(self, ledger: Ledger) -> None:
        now = database_time(ledger)
        with pytest.raises(TimeTooFar) as caught:
            add_one(ledger).schedule(at=now + timedelta(days=365, minutes=1))
        assert caught.value.days == 365
        add_one(ledger).schedule(at=now + timedelta(days=364, hours=23))

    def test_what_it_would_run(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        rule = {"cron": "0 * * * *", "timezone": "UTC"}
        with pytest.raises(UnknownTable):
            add_one(ledger, "nowhere").schedule(**rule)
        with pytest.raises(UnknownColumn):
            ledger.on("places").all().update(nothing=1).by("user:1").schedule(**rule)
        with pytest.raises(InvalidValue):
            ledger.on("places").keys(["x"]).update(note="y").by("user:1").schedule(**rule)
        assert written(connection) == 0

    def test_another_actor_for_the_execution(self, ledger: Ledger) -> None:
        command = schedule_command(
            add_one(ledger).command(),
            Cron(cron="0 * * * *", timezone="UTC"),
            catch_up="last",
            keep="evaluated",
        )
        forged = {**command.model_dump(), "actor": "user:2"}
        with pytest.raises(ValueError, match="the actors must be the same"):
            CreateSchedule.model_validate(forged)


@pytest.mark.usefixtures("places")
class TestCommands:
    def test_json_out_and_in(self, ledger: Ledger) -> None:
        """What a host writes in JSON is what the chain does."""
        schedule_id = uuid7()
        ledger.handle(
            COMMANDS.validate_python(
                {
                    "type": "create_schedule",
                    "command_id": str(schedule_id),
                    "actor": "user:1",
                    "rule": {"kind": "cron", "cron": "0 * * * *", "timezone": "UTC"},
                    "execution": {
                        "command_id": str(uuid4()),
                        "actor": "user:1",
                        "resource": {"table": "places"},
                        "action": "update",
                        "parameters": {"values": {"note": "x"}},
                        "selection": {"kind": "everything"},
                    },
                }
            )
        )
        schedule = ledger.schedule(schedule_id)
        assert schedule.status == "active"
        for kind, status in (
            ("pause_schedule", "paused"),
            ("resume_schedule", "active"),
            ("reschedule", "active"),
            ("run_schedule_now", "active"),
            ("cancel_schedule", "cancelled"),
        ):
            said: dict[str, Any] = {
                "type": kind,
                "command_id": str(uuid7()),
                "actor": "user:2",
                "schedule_id": str(schedule_id),
            }
            if kind == "reschedule":
                said["rule"] = {"kind": "at", "at": "2027-03-28T02:30", "timezone": "Europe/Paris"}
                now = database_time(ledger)
                said["rule"]["at"] = (now + timedelta(days=9)).isoformat()
            command = COMMANDS.validate_python(said)
            assert COMMANDS.validate_json(command.model_dump_json()) == command
            ledger.handle(command)
            assert schedule.status == status

    def test_the_same_command_twice_is_one(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        create = schedule_command(
            add_one(ledger).command(),
            Cron(cron="0 * * * *", timezone="UTC"),
            catch_up="last",
            keep="frozen",
        )
        assert ledger.handle(create) == ledger.handle(create) == create.command_id
        run = RunScheduleNow(
            command_id=uuid7(), actor=Actor(subject="u"), schedule_id=create.command_id
        )
        execution_id = ledger.handle(run)
        assert ledger.handle(run) == execution_id
        pause = PauseSchedule(
            command_id=uuid7(), actor=Actor(subject="u"), schedule_id=create.command_id
        )
        assert ledger.handle(pause) == ledger.handle(pause) == create.command_id
        work(ledger)
        assert score(connection) == 1
        assert topics(ledger.schedule(create.command_id)) == ["created", "fired", "paused"]
        assert ledger.execution(execution_id).status == "completed"

    def test_another_command_under_the_same_id(self, ledger: Ledger) -> None:
        first = hourly(ledger)
        for command in (
            PauseSchedule(command_id=first.id, actor=Actor(subject="u"), schedule_id=first.id),
            schedule_command(
                add_one(ledger).command(),
                Cron(cron="0 * * * *", timezone="UTC"),
                catch_up="last",
                keep="evaluated",
            ).model_copy(update={"command_id": first.id}),
        ):
            with pytest.raises(CommandReused):
                ledger.handle(command)
        assert first.status == "active"
