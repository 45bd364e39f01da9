"""An export only reads: it takes no record lock, and is not held up by those of others."""

from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.ops import Ledger
from tests.invariants import check_invariants
from tests.locking import SIZE, add_one, planned


@pytest.mark.parametrize("queued", [False, True])
@pytest.mark.parametrize("policy", [None, "fail", "skip", "wait"])
def test_it_reads_what_others_have_locked(
    *,
    ledger: Ledger,
    places: str,
    connection: Connection[DictRow],
    tmp_path: Path,
    policy: str | None,
    queued: bool,
) -> None:
    owner = planned(ledger, add_one(ledger, 1, 40))
    path = tmp_path / "a.csv"
    request = ledger.on(places).where(col("id") <= 60).export(path, columns=["id"]).by("user:2")
    request = request if policy is None else request.on_locked(policy)
    execution = request.submit() if queued else request.run()
    execution.finish()
    assert (execution.status, execution.progress().applied) == ("completed", 60)
    assert path.read_text().splitlines() == ['"id"', *map(str, range(1, 61))]
    assert [view.execution_id for view in ledger.locks()] == [owner.id]
    owner.finish()
    check_invariants(connection, ledger=ledger)


def test_nobody_waits_for_it(
    ledger: Ledger, places: str, connection: Connection[DictRow], tmp_path: Path
) -> None:
    request = ledger.on(places).all().export(tmp_path / "a.csv").batch_size(SIZE)
    execution = request.by("user:2").submit()
    ledger.worker().step(execution.id)
    assert execution.progress().batches > 1
    assert ledger.locks() == []
    assert add_one(ledger, 1, 40).run().status == "completed"
    execution.finish()
    assert execution.status == "completed"
    check_invariants(connection, ledger=ledger)
