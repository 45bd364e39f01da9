"""The situations in which the step points are come to: each is set up, gives a child's order, and comes to an end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.actor import Actor
from action_ledger.domain.columns import col
from action_ledger.ops import ChainHandle, Ledger
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


def _by_record(stage: Stage) -> Order:
    request = stage.ledger.on("places").all().apply("rename").by("user:1")
    return {"job": planned(stage, request.batch_size(BATCH)).id}


def _undoing(stage: Stage) -> Order:
    return {"task": "undo", "of": add_one(stage).run().id}


def _looked_first(stage: Stage) -> Order:
    add_one(stage).run()
    return {"task": "preview", "of": "places"}


def _asked_from_somewhere(stage: Stage) -> Order:
    alice = Actor(subject="alice", issuer="https://idp", address="10.0.0.7", agent="admin-ui/3")
    add_one(stage).by(alice).run()
    return {"task": "erase", "of": "alice"}


def _undone(stage: Stage) -> Order:
    return {"job": add_one(stage).run().undo(by="user:2").submit().id}


def _redone(stage: Stage) -> Order:
    undo = add_one(stage).run().undo(by="user:2").run()
    return {"job": undo.redo(by="user:2").submit().id}


def _merged(stage: Stage) -> Order:
    """An undo with two shares in each batch: the names of some places have been taken back before."""
    changed = stage.ledger.on("places").all().update(score=col("score") + 1, name="z")
    execution = changed.by("user:1").batch_size(BATCH).run()
    execution.undo(by="user:2").keys(range(7, 60, 7)).columns("name").run()
    return {"job": execution.undo(by="user:2").on_conflict("merge").submit().id}


def _taking_along(stage: Stage) -> Order:
    """A delete that foreign keys carry on to other tables."""
    stage.connection.execute(
        "CREATE TABLE visits (id bigint PRIMARY KEY, place bigint REFERENCES places ON DELETE CASCADE);"
        "CREATE TABLE notes (id bigint PRIMARY KEY, place bigint REFERENCES places ON DELETE SET NULL);"
        "INSERT INTO visits SELECT i, i FROM generate_series(1, 60) i;"
        "INSERT INTO notes SELECT i, i FROM generate_series(1, 60) i"
    )
    return {"job": planned(stage, _all_gone(stage)).id}


def _brought_along(stage: Stage) -> Order:
    execution = stage.ledger.execution(_taking_along(stage)["job"])
    execution.finish()
    return {"job": execution.undo(by="user:2").submit().id}


def _in_circles(stage: Stage) -> Order:
    """Each place is wanted by its visit, and wants for it."""
    order = _taking_along(stage)
    stage.connection.execute(
        "ALTER TABLE places ADD COLUMN best bigint REFERENCES visits; UPDATE places SET best = id"
    )
    execution = stage.ledger.execution(order["job"])
    execution.finish()
    return {"job": execution.undo(by="user:2").submit().id}


def _all_gone(stage: Stage) -> Request:
    return stage.ledger.on("places").all().delete(hard=True).by("user:1").batch_size(BATCH)


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


def _met(policy: str) -> Callable[[Stage], Order]:
    """Others have a batch of its records."""

    def prepare(stage: Stage) -> Order:
        first = stage.ledger.on("places").where(col("id") <= BATCH)
        planned(stage, first.update(score=col("score") + 1).by("user:2").batch_size(7))
        return {"task": "step", "of": add_one(stage).on_locked(policy).submit().id}

    return prepare


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


def _undo_ended_by_nobody(stage: Stage) -> Order:
    undo = add_one(stage).run().undo(by="user:2").submit()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("action_ledger.workers.work.settle", lambda *_, **__: False)
        while stage.ledger.worker().step(undo.id):
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


def _put_off(stage: Stage) -> Order:
    """Four serialization failures, which a sequence counts: it forgets nothing with a transaction."""
    stage.connection.execute("CREATE SEQUENCE faults")
    stage.connection.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF nextval('faults') <= 4 THEN"
        " RAISE serialization_failure; END IF; RETURN NULL; END $$"
    )
    stage.connection.execute("CREATE TRIGGER fail AFTER UPDATE ON places EXECUTE FUNCTION fail()")
    return {"job": planned(stage).id}


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


def _three(stage: Stage, ended: int) -> ChainHandle:
    """A chain that adds 1 three times, as it is when so many of its steps have ended and nobody has noticed the last."""
    request = add_one(stage)
    chain = request.then(request).then(request).submit()
    for _ in range(ended):
        chain.advance()
        stage.ledger.execution(
            next(step.execution_id for step in chain.steps() if step.status == "running")
        ).finish()
    return chain


def _chained(ended: int) -> Callable[[Stage], Order]:
    return lambda stage: {"task": "move", "of": _three(stage, ended).id}


def _compensated(undone: int) -> Callable[[Stage], Order]:
    """Its third step fails; so many of the others are taken back, and nobody has noticed the last."""

    def prepare(stage: Stage) -> Order:
        refuse(stage, "new.score > new.id + 2")
        chain = _three(stage, 3)
        for _ in range(undone):
            chain.advance()
            under_way = (step for step in chain.steps() if step.status == "compensating")
            stage.ledger.execution(next(under_way).execution_id).undos()[0].finish()
        return {"task": "move", "of": chain.id}

    return prepare


def _chain_cancelled(stage: Stage) -> Order:
    chain = _three(stage, 1)
    chain.advance()
    for _ in range(2):
        stage.ledger.worker().step()
    return {"task": "cancel chain", "of": chain.id}


def _chain_undone(stage: Stage) -> Order:
    chain = _three(stage, 3)
    chain.advance()
    return {"task": "undo chain", "of": chain.id}


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
CHILDREN = (
    *("children.parents_locked", "children.locked", "children.captured", "children.gone"),
    "batch.applied",
)
COMPENSATIONS = tuple(step.replace("batch.", "compensation.") for step in BATCHES)
RECORDS_DONE = ("records.locked", "records.called", "records.written")
ENDS = ("settle.before_append", "settle.appended")
UNDO_ENDS = ("settle.before_undo_append", "settle.undo_appended")
STEER = ("steer.kept", "steer.before_append", "steer.appended", "steer.before_commit")
CLOSE = ("close.before_append", "close.appended")
SWEEP = ("sweep.found", "sweep.locked", "sweep.closed")
LOCK = ("lock.turn_taken", "lock.released")
ROLLBACK = ("rollback.found", "rollback.requested")
UNDO = ("undo.begun", "undo.before_append", "undo.before_commit")
PREVIEW = ("preview.rolled_back", "preview.before_append", "preview.before_commit")
ERASURE = ("erasure.before_append", "erasure.before_commit")
FAIL = ("fail.listed", "fail.appended")
PUT_OFF = ("fault.met", "fault.put_off")
FOLLOW = ("follow.locked", "follow.tracked", "follow.written", "follow.before_commit")
REBUILD = (
    *("rebuild.begun", "rebuild.prepared", "rebuild.held_up", "rebuild.folded"),
    *("rebuild.before_commit", "rebuild.switched"),
)

MOVE = ("chain.claimed", "chain.moved", "chain.appended", "chain.before_end")
REQUEST = ("request.before_append", "request.before_commit")
CHAIN_STEERING = (
    "chain_steering.held",
    "chain_steering.before_append",
    "chain_steering.before_commit",
)
INBOX = ("inbox.claimed", "request.before_append", "inbox.before_commit")

ONE, NONE = {1: RECORDS}, {0: RECORDS}
PART = {0: RECORDS - BATCH, 1: BATCH}

SCENARIOS: dict[str, Scenario] = {
    "gated": Scenario(_gated, (LOCK[0], *PLAN, *BATCHES, *ENDS, LOCK[1]), ONE),
    "skip": Scenario(_met("skip"), ("lock.set_apart", "plan.appended"), ONE),
    "wait": Scenario(
        _met("wait"), ("lock.awaited", "plan.appended"), {1: RECORDS - BATCH, 2: BATCH}
    ),
    "break": Scenario(_steered("break_lock"), (*STEER, *CLOSE, "lock.broken"), PART),
    "streaming": Scenario(_streaming, (*PLAN, *BATCHES, *ENDS), ONE),
    "batches": Scenario(_batches, BATCHES, ONE),
    "records": Scenario(_by_record, (*BATCHES, *RECORDS_DONE), ONE),
    "undo asked": Scenario(_undoing, UNDO, NONE),
    "preview": Scenario(_looked_first, PREVIEW, ONE),
    "erasure": Scenario(_asked_from_somewhere, ERASURE, ONE),
    "undo": Scenario(_undone, (*COMPENSATIONS, *UNDO_ENDS, *LOCK[1:]), NONE),
    "redo": Scenario(_redone, (*COMPENSATIONS, *UNDO_ENDS), ONE),
    "merge": Scenario(_merged, COMPENSATIONS, NONE),
    "cancel": Scenario(_steered("cancel"), (*STEER, *CLOSE, *LOCK[1:]), PART),
    "pause": Scenario(_steered("pause"), STEER, ONE),
    "resume": Scenario(_steered("resume"), STEER, ONE),
    "retune": Scenario(_steered("retune"), STEER, ONE),
    "children go along": Scenario(_taking_along, CHILDREN, {}),
    "circles come back": Scenario(
        _in_circles, ("undo.circle_kept", "undo.circle_back", *COMPENSATIONS), NONE
    ),
    "children come back": Scenario(_brought_along, ("undo.children_back", *COMPENSATIONS), NONE),
    "units left open": Scenario(_left_open, (*SWEEP, *CLOSE), NONE, adds_up=False),
    "rollback": Scenario(_rolled_back, (*ENDS, *ROLLBACK, *UNDO, *COMPENSATIONS, *UNDO_ENDS), NONE),
    "rollback of nothing": Scenario(
        _rolled_back_at_once, (*ENDS, *CLOSE, "rollback.before_end", "rollback.ended"), NONE
    ),
    "ended by nobody": Scenario(
        _ended_by_nobody, ("sweep.found", "sweep.before_settle", "sweep.settled", *ENDS), ONE
    ),
    "undo ended by nobody": Scenario(
        _undo_ended_by_nobody, ("sweep.found", "sweep.settled", *UNDO_ENDS), NONE
    ),
    "put off": Scenario(_put_off, PUT_OFF, ONE),
    "drift": Scenario(_drifted, (*FAIL, *ENDS), {}),
    "drift before planning": Scenario(_drifted_before, ("fail.planning_ended", *ENDS), {}),
    "chain asked for": Scenario(
        lambda _: {"task": "chain"}, ("chain.before_append", "chain.before_commit"), {3: RECORDS}
    ),
    "chain begun": Scenario(_chained(0), (*MOVE, *REQUEST), {3: RECORDS}),
    "chain moved on": Scenario(_chained(1), (*MOVE, *REQUEST), {3: RECORDS}),
    "chain ended": Scenario(_chained(3), MOVE, {3: RECORDS}),
    "chain compensated": Scenario(_compensated(0), (*MOVE, *UNDO), NONE),
    "chain compensated further": Scenario(_compensated(1), (*MOVE, *UNDO), NONE),
    "chain compensated to its end": Scenario(_compensated(2), MOVE, NONE),
    "chain cancelled": Scenario(
        _chain_cancelled, (*CHAIN_STEERING, *STEER), {1: RECORDS - BATCH, 2: BATCH}
    ),
    "chain undone": Scenario(_chain_undone, CHAIN_STEERING, NONE),
    "inbox": Scenario(_sent_by_host, INBOX, ONE),
    "inbox in vain": Scenario(_sent_by_host_in_vain, ("inbox.claimed", "inbox.rejected"), ONE),
    "follow": Scenario(_followed, FOLLOW, NONE),
    "rebuild progress": Scenario(_rebuilt("progress"), REBUILD, {2: RECORDS}),
    "rebuild audit": Scenario(_rebuilt("audit"), REBUILD, {2: RECORDS}),
    "rebuild locks": Scenario(_rebuilt("locks"), REBUILD, {2: RECORDS}),
    "rebuild work_queue": Scenario(_rebuilt("work_queue"), REBUILD, {2: RECORDS}),
}
