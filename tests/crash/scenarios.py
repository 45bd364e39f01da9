"""The situations in which the step points are come to: each is set up, gives a child's order, and comes to an end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.ops import Ledger
from action_ledger.ops.builder import Request
from action_ledger.ops.handles import ExecutionHandle
from tests.crash.harness import make_places
from tests.worker_process import held

RECORDS = 60
BATCH = 20

Order = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a scenario is set up."""

    url: str
    ledger: Ledger
    connection: Connection[DictRow]


@dataclass(frozen=True, slots=True)
class Scenario:
    """``prepare`` gives the order; ``scores`` is how often 1 has been added in the end, to how many."""

    prepare: Callable[[Stage], Order]
    steps: tuple[str, ...]
    scores: dict[int, int]
    adds_up: bool = True
    """Not while a cancelled execution has units that nobody could take off the queue yet."""


def add_one(stage: Stage) -> Request:
    target = stage.ledger.on("places").all()
    return target.update(score=col("score") + 1).by("user:1").batch_size(BATCH)


def planned(stage: Stage, request: Request | None = None) -> ExecutionHandle:
    """Submit an execution and plan it."""
    execution = (request or add_one(stage)).submit()
    stage.ledger.worker().step(execution.id)
    return execution


def refuse(stage: Stage, condition: str) -> None:
    """Let the table refuse what meets a condition."""
    stage.connection.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN IF {condition} AND new.score > old.score THEN RAISE 'no'; END IF; RETURN new; END $$".encode()
    )
    stage.connection.execute(
        "CREATE TRIGGER refuse BEFORE UPDATE ON places FOR EACH ROW EXECUTE FUNCTION refuse()"
    )


def _gated(stage: Stage) -> Order:
    return {"job": add_one(stage).submit().id}


def _streaming(stage: Stage) -> Order:
    return {"job": add_one(stage).streaming().submit().id}


def _batches(stage: Stage) -> Order:
    return {"job": planned(stage).id}


def _undoing(stage: Stage) -> Order:
    return {"task": "undo", "of": add_one(stage).run().id}


def _undone(stage: Stage) -> Order:
    return {"job": add_one(stage).run().undo(by="user:2").submit().id}


def _redone(stage: Stage) -> Order:
    undo = add_one(stage).run().undo(by="user:2").run()
    return {"job": undo.redo(by="user:2").submit().id}


def _steered(task: str) -> Callable[[Stage], Order]:
    def prepare(stage: Stage) -> Order:
        execution = planned(stage)
        stage.ledger.worker().step(execution.id)
        if task == "resume":
            execution.pause(by="user:2")
        return {"task": task, "of": execution.id}

    return prepare


def _left_open(stage: Stage) -> Order:
    """Cancelled while its units were in the hands of one who has died since."""
    execution = planned(stage)
    with held(stage.url, "SELECT FROM action_ledger.work_queue FOR UPDATE"):
        execution.cancel(by="user:2")
    return {"task": "sweep", "of": execution.id}


def _rolled_back(stage: Stage) -> Order:
    refuse(stage, "new.id = 50")
    return {"job": planned(stage, add_one(stage).on_failure("rollback")).id}


def _rolled_back_at_once(stage: Stage) -> Order:
    refuse(stage, "true")
    return {"job": planned(stage, add_one(stage).on_failure("rollback")).id}


def _ended_by_nobody(stage: Stage) -> Order:
    """A job whose last batch is done, and whose end is not: as it could be left by a program of another version."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("action_ledger.workers.work.settle", lambda *_, **__: False)
        execution = planned(stage)
        while stage.ledger.worker().step(execution.id):
            pass
    return {"task": "sweep"}


def _drifted(stage: Stage) -> Order:
    execution = planned(stage)
    stage.ledger.worker().step(execution.id)
    stage.connection.execute("ALTER TABLE places ADD more int, DROP name")
    stage.connection.execute("ALTER TABLE places RENAME id TO number")
    return {"job": execution.id}


def _drifted_before(stage: Stage) -> Order:
    execution = add_one(stage).submit()
    stage.connection.execute("ALTER TABLE places RENAME score TO points")
    return {"job": execution.id}


def _followed(stage: Stage) -> Order:
    add_one(stage).run().undo(by="user:2").run()
    return {"task": "follow"}


def _rebuilt(name: str) -> Callable[[Stage], Order]:
    def prepare(stage: Stage) -> Order:
        add_one(stage).run()
        planned(stage)
        stage.ledger.catch_up()
        return {"task": "rebuild", "of": name}

    return prepare


def _sent_by_host(stage: Stage) -> Order:
    with Connection[DictRow].connect(stage.url) as host:
        ledger = stage.ledger.within(host)
        ledger.on("places").all().update(score=col("score") + 1).by("user:1").once("k").submit()
    return {"task": "take in"}


def _sent_by_host_in_vain(stage: Stage) -> Order:
    add_one(stage).run()
    with Connection[DictRow].connect(stage.url) as host:
        ledger = stage.ledger.within(host)
        ledger.on("gone").all().update(score=1).by("user:1").submit()
    return {"task": "take in"}


def set_up(stage: Stage) -> None:
    make_places(stage.connection, RECORDS)


PLAN = ("plan.claimed", "plan.cut", "plan.before_append", "plan.appended", "plan.before_commit")
BATCHES = ("batch.claimed", "batch.applied", "batch.appended", "batch.before_commit")
COMPENSATIONS = tuple(step.replace("batch.", "compensation.") for step in BATCHES)
ENDS = ("settle.before_append", "settle.appended")
UNDO_ENDS = ("settle.before_undo_append", "settle.undo_appended")
STEER = ("steer.kept", "steer.before_append", "steer.appended", "steer.before_commit")
CLOSE = ("close.before_append", "close.appended")
SWEEP = ("sweep.found", "sweep.locked", "sweep.closed")
ROLLBACK = ("rollback.found", "rollback.requested")
UNDO = ("undo.begun", "undo.before_append", "undo.before_commit")
FAIL = ("fail.listed", "fail.appended")
FOLLOW = ("follow.locked", "follow.tracked", "follow.written", "follow.before_commit")
REBUILD = (
    *("rebuild.begun", "rebuild.prepared", "rebuild.held_up", "rebuild.folded"),
    *("rebuild.before_commit", "rebuild.switched"),
)

INBOX = ("inbox.claimed", "request.before_append", "inbox.before_commit")

ONE, NONE = {1: RECORDS}, {0: RECORDS}
PART = {0: RECORDS - BATCH, 1: BATCH}

SCENARIOS: dict[str, Scenario] = {
    "gated": Scenario(_gated, (*PLAN, *BATCHES, *ENDS), ONE),
    "streaming": Scenario(_streaming, (*PLAN, *BATCHES, *ENDS), ONE),
    "batches": Scenario(_batches, BATCHES, ONE),
    "undo asked": Scenario(_undoing, UNDO, NONE),
    "undo": Scenario(_undone, (*COMPENSATIONS, *UNDO_ENDS), NONE),
    "redo": Scenario(_redone, (*COMPENSATIONS, *UNDO_ENDS), ONE),
    "cancel": Scenario(_steered("cancel"), (*STEER, *CLOSE), PART),
    "pause": Scenario(_steered("pause"), STEER, ONE),
    "resume": Scenario(_steered("resume"), STEER, ONE),
    "retune": Scenario(_steered("retune"), STEER, ONE),
    "units left open": Scenario(_left_open, (*SWEEP, *CLOSE), NONE, adds_up=False),
    "rollback": Scenario(_rolled_back, (*ENDS, *ROLLBACK, *UNDO, *COMPENSATIONS, *UNDO_ENDS), NONE),
    "rollback of nothing": Scenario(
        _rolled_back_at_once, (*ENDS, *CLOSE, "rollback.before_end", "rollback.ended"), NONE
    ),
    "ended by nobody": Scenario(
        _ended_by_nobody, ("sweep.found", "sweep.before_settle", "sweep.settled", *ENDS), ONE
    ),
    "drift": Scenario(_drifted, (*FAIL, *ENDS), {}),
    "drift before planning": Scenario(_drifted_before, ("fail.planning_ended", *ENDS), {}),
    "inbox": Scenario(_sent_by_host, INBOX, ONE),
    "inbox in vain": Scenario(_sent_by_host_in_vain, ("inbox.claimed", "inbox.rejected"), ONE),
    "follow": Scenario(_followed, FOLLOW, NONE),
    "rebuild progress": Scenario(_rebuilt("progress"), REBUILD, {2: RECORDS}),
    "rebuild audit": Scenario(_rebuilt("audit"), REBUILD, {2: RECORDS}),
    "rebuild work_queue": Scenario(_rebuilt("work_queue"), REBUILD, {2: RECORDS}),
}
