"""Schedules on the command line: made, listed, shown and steered; exit codes, JSON, and what people read."""

import re
from datetime import date, datetime, timedelta

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import Ledger
from tests.command_line import CommandLine
from tests.schedules import database_time, hours_ago, overdue, score

BY = ("--by", "user:42")
DAILY = ("--cron", "30 2 * * *", "--timezone", "Europe/Paris")


@pytest.fixture
def cli(database_url: str, places: str) -> CommandLine:
    assert places == "public.places"
    return CommandLine(database_url)


def made(cli: CommandLine, *options: object) -> str:
    said = cli(
        "schedule", "places", "update", "--all", "--params-json", PLUS_ONE, *BY, "--json", *(options or DAILY)
    )  # fmt: skip
    assert said.code == 0, said.err
    return str(said.json["id"])


PLUS_ONE = (
    '{"values": {"score": {"kind": "arithmetic", "op": "add", "left": {"kind": "column", "name": "score"},'
    ' "right": {"kind": "value", "value": 1, "type": "integer"}}}}'
)


def gap_after(now: datetime) -> date:
    """The next day on which the clocks of Paris skip from 02:00 to 03:00: the last Sunday of March."""
    for year in (now.year, now.year + 1):
        last = date(year, 3, 31)
        sunday = last - timedelta(days=(last.weekday() + 1) % 7)
        if sunday > now.date():
            return sunday
    raise AssertionError


class TestMake:
    def test_for_people(self, cli: CommandLine) -> None:
        said = cli(
            "schedule", "places", "update", "--where", "country = FR", "--set", "note=x", *DAILY, *BY,
            "--reason", "T-1", "--selection", "frozen",
        )  # fmt: skip
        assert (said.code, said.err) == (0, "")
        assert "by cron 30 2 * * * in Europe/Paris, next 20" in said.out
        assert re.search(r"next \d{4}-\d\d-\d\d 0[23]:[03]0:00 CES?T", said.out)
        assert "frozen: 50 records" in said.out
        shown = cli("schedules", "show")
        assert re.search(r"reason +T-1", shown.out)
        assert "The next runs" in shown.out

    def test_a_time_that_the_clocks_skip_is_said_to_be_moved(
        self, cli: CommandLine, ledger: Ledger
    ) -> None:
        day = gap_after(database_time(ledger)).isoformat()
        update = ("schedule", "places", "update", "--all", "--set", "note=x", *BY)
        when = ("--timezone", "Europe/Paris", "--at")
        text = f"The clocks of Europe/Paris skip {day} 02:30:00"
        said = cli(*update, *when, f"{day} 02:30")
        assert text in said.out
        assert "runs right after the gap" in said.out
        told = cli(*update, *when, f"{day} 02:30", "--json").json
        assert (told["at"], told["moved_from"]) == (f"{day}T03:00:00+02:00", f"{day}T02:30:00")
        shown = cli(*update, *when, f"{day} 03:30")
        assert (shown.code, "skip" in shown.out) == (0, False)
        assert cli(*update, *DAILY, "--json").json["moved_from"] is None
        again = ("schedules", "reschedule", "last", *BY, *when, f"{day} 02:10")
        assert f"skip {day} 02:10:00" in cli(*again).out
        assert cli(*again, "--json").json["moved_from"] == f"{day}T02:10:00"

    def test_what_destroys_wants_a_yes(self, cli: CommandLine) -> None:
        said = cli("schedule", "places", "archive", "--all", *DAILY, *BY)
        assert (said.code, said.error) == (5, "confirmation_required")
        assert cli("schedules", "list", "--json").json == []
        assert cli("schedule", "places", "archive", "--all", *DAILY, *BY, "--yes").code == 0

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            (("--cron", "61 * * * *", "--timezone", "UTC"), "invalid_cron"),
            (("--cron", "* * * * *", "--timezone", "Mars"), "unknown_time_zone"),
            (("--cron", "* * * * *"), "invalid_schedule"),
            (("--at", "2001-01-01", "--timezone", "UTC"), "time_in_past"),
            (("--at", "2999-01-01", "--timezone", "UTC"), "time_too_far"),
            (("--at", "tomorrow", "--timezone", "UTC"), "invalid_schedule"),
            ((), "invalid_schedule"),
            ((*DAILY, "--at", "2027-01-01"), "invalid_schedule"),
            ((*DAILY, "--catch-up", "some"), "invalid_schedule"),
            ((*DAILY, "--selection", "warm"), "invalid_schedule"),
        ],
    )
    def test_what_cannot_be(
        self,
        cli: CommandLine,
        connection: Connection[DictRow],
        options: tuple[str, ...],
        error: str,
    ) -> None:
        said = cli("schedule", "places", "update", "--all", "--set", "note=x", *BY, *options)
        assert (said.code, said.error) == (2, error)
        assert not connection.execute("SELECT FROM action_ledger.stored_events").fetchall()

    def test_pace_and_policy_are_those_of_its_runs(self, cli: CommandLine, ledger: Ledger) -> None:
        policy = ("--on-failure", "rollback", "--max-failures", 3, "--max-failure-ratio", 0.5)
        pace = ("--rate", 900, "--concurrency", 2, "--adaptive", 1)
        update = ("schedule", "places", "update", "--all", "--set", "note=x", *DAILY, *BY)
        id_ = cli(*update, *policy, *pace, "--json").json["id"]
        assert cli("schedules", "run-now", id_, *BY).code == 0
        (execution,) = ledger.executions()
        row = ledger.execution(execution.id).row()
        assert (row["on_failure"], row["max_failures"], row["max_failure_ratio"]) == (
            "rollback", 3, 0.5,
        )  # fmt: skip
        assert (row["rate"], row["concurrency"]) == (900, 2)
        wrong = cli(*update, "--max-failures", 3)
        assert (wrong.code, wrong.error) == (2, "invalid_parameters")
        assert "--max-failures" in wrong.err

    def test_keys_from_a_file(self, cli: CommandLine) -> None:
        said = cli(
            "schedule", "places", "update", "--keys-file", "-", "--set", "note=x", *DAILY, *BY, "--json",
            stdin="1\n2\n3\n",
        )  # fmt: skip
        assert said.json["records"] == 3


class TestSteer:
    def test_pause_resume_cancel(self, cli: CommandLine) -> None:
        id_ = made(cli)
        assert "paused" in cli("schedules", "pause", id_, *BY).out
        again = cli("schedules", "pause", id_[-6:], *BY)
        assert (again.code, again.error) == (3, "schedule_closed")
        assert cli("schedules", "resume", "last", *BY, "--json").json["status"] == "active"
        assert cli("schedules", "cancel", id_, *BY).code == 0
        assert cli("schedules", "resume", id_, *BY).code == 3

    def test_reschedule(self, cli: CommandLine, ledger: Ledger) -> None:
        id_ = made(cli)
        later = (database_time(ledger) + timedelta(days=3)).isoformat()
        said = cli(
            "schedules", "reschedule", id_, "--at", later, "--timezone", "Asia/Tokyo", *BY, "--json"
        )
        assert said.code == 0, said.err
        assert datetime.fromisoformat(said.json["due_at"]) == datetime.fromisoformat(later)
        assert said.json["due_at"].endswith("+09:00")
        assert (
            cli("schedules", "reschedule", id_, "--cron", "x", "--timezone", "UTC", *BY).code == 2
        )
        assert cli("schedules", "reschedule", id_, *BY).error == "invalid_schedule"

    def test_run_now(self, cli: CommandLine, connection: Connection[DictRow]) -> None:
        id_ = made(cli)
        said = cli("schedules", "run-now", id_, *BY, "--reason", "now", "--json")
        assert said.json["status"] == "requested"
        assert "waits for the workers" in cli("schedules", "run-now", id_, *BY).out
        assert cli("worker", "--until-idle").code == 0
        assert score(connection) == 2
        shown = cli("schedules", "show", id_)
        assert "out of turn" in shown.out
        assert said.json["id"] in shown.out

    def test_somebody_must_be_named(self, cli: CommandLine) -> None:
        said = cli("schedules", "cancel", made(cli))
        assert (said.code, said.error) == (2, "actor_missing")

    def test_what_is_not_there(self, cli: CommandLine) -> None:
        for given in ("last", "abc", "no id at all", "%"):
            said = cli("schedules", "show", given)
            assert (said.code, said.error) == (3, "schedule_not_found")

    def test_an_id_that_several_have(self, cli: CommandLine) -> None:
        one, other = made(cli), made(cli)
        common = one[: next(n for n, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)]
        said = cli("schedules", "show", common)
        assert (said.code, said.error) == (2, "ambiguous_id")


class TestLook:
    def test_a_worker_fires_and_show_tells(
        self, cli: CommandLine, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        id_ = made(cli, "--cron", "0 * * * *", "--timezone", "Asia/Kathmandu")
        due = hours_ago(ledger, 3) + timedelta(minutes=15)
        overdue(ledger, ledger.schedule(id_).id, due)
        assert cli("worker", "--until-idle").code == 0
        assert score(connection) == 1
        found = cli("schedules", "show", id_, "--json").json
        assert [run["outcome"] for run in found["runs"]] == ["fired", "missed"]
        assert found["runs"][0]["status"] == "completed"
        assert found["fired"] == 1
        assert len(found["upcoming"]) == 3
        shown = cli("schedules", "show", id_)
        assert "completed, 100 applied" in shown.out
        assert "more" in shown.out
        assert ":00:00 +0545" in shown.out
        assert found["runs"][0]["execution_id"] in cli("executions").out

    def test_a_refusal(
        self, cli: CommandLine, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        id_ = made(cli)
        connection.execute("DROP TABLE places")
        overdue(ledger, ledger.schedule(id_).id, hours_ago(ledger, 0))
        assert cli("worker", "--until-idle").code == 0
        assert "unknown_table" in cli("schedules", "show", id_).out
        assert "1 refused (unknown_table)" in cli("schedules", "list").out

    def test_lists(self, cli: CommandLine) -> None:
        assert "There is no schedule" in cli("schedules", "list").out
        assert "Nothing is due" in cli("schedules", "upcoming").out
        one, other = made(cli), made(cli, "--cron", "0 9 * * MON", "--timezone", "America/New_York")
        listed = cli("schedules", "list").out
        assert one in listed
        assert "0 9 * * MON in America/New_York" in listed
        cli("schedules", "cancel", one, *BY)
        assert [v["id"] for v in cli("schedules", "list", "--status", "active", "--json").json] == [
            other
        ]
        assert cli("schedules", "list", "--status", "odd").code == 2
        upcoming = cli("schedules", "upcoming", "-n", "4", "--json").json
        assert len(upcoming) == 4
        assert all(each["local"][11:16] == "09:00" for each in upcoming)
        assert cli("schedules", "upcoming").out.count(other) == 10

    def test_a_narrow_terminal(self, cli: CommandLine) -> None:
        id_ = made(cli)
        said = cli("schedules", "list", COLUMNS="80", FORCE_COLOR="1", TTY_COMPATIBLE="1")
        assert id_ in said.out

    def test_the_audit_tells_of_it(self, cli: CommandLine, ledger: Ledger) -> None:
        id_ = made(cli)
        overdue(ledger, ledger.schedule(id_).id, hours_ago(ledger, 100))
        assert cli("worker", "--until-idle").code == 0
        told = cli("audit").out
        for words in (
            "schedule.created",
            "schedule.missed",
            "missed, next 20",
            "schedule.fired",
            "due 20",
        ):
            assert words in told
