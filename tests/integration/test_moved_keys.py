"""Records whose key changes although no action sets it: computed from another column, or rewritten by a trigger."""

from typing import LiteralString

import pytest
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import IrreversibleCascade, SchemaDrift
from action_ledger.ops import Ledger
from tests.exact import dump, run
from tests.invariants import check_invariants

pytestmark = pytest.mark.every_postgres

CODES = sql.Identifier("public", "codes")
CODED: LiteralString = (
    "CREATE TABLE codes (base text NOT NULL, region int NOT NULL, other int,"
    " code text GENERATED ALWAYS AS (upper(base) || '-x') STORED, PRIMARY KEY (code, region))"
)
REWRITES: LiteralString = "BEGIN NEW.region := NEW.region + 100; RETURN NEW; END"


@pytest.fixture
def codes(connection: Connection[DictRow]) -> Connection[DictRow]:
    """Records whose key is computed from their base."""
    run(
        connection,
        CODED,
        "INSERT INTO codes (base, region, other) SELECT 'b' || i, i % 3, i FROM generate_series(1, 20) i",
    )
    return connection


@pytest.mark.parametrize("captured", ["touched_columns", "whole_rows"])
def test_a_key_that_is_computed_from_what_is_set(
    ledger: Ledger, codes: Connection[DictRow], captured: str
) -> None:
    if captured == "whole_rows":
        run(
            codes,
            "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "CREATE TRIGGER look BEFORE UPDATE ON codes FOR EACH ROW EXECUTE FUNCTION look()",
        )
    before = dump(codes, CODES)
    execution = ledger.on("codes").all().update(base=col("base").concat("z")).by("t").run()
    after = dump(codes, CODES)
    assert (execution.progress().applied, after == before) == (20, False)
    check_invariants(codes, tables=["public.codes"])
    run(codes, "UPDATE codes SET other = -1 WHERE base = 'b7z'")
    run(codes, "UPDATE codes SET base = 'mine' WHERE base = 'b8z'")
    undo = execution.undo(by="t").run()
    # Where whole rows are compared, the outsider's edit of another column shows.
    assert undo.progress().applied == 19
    assert undo.excepted == (["other"] if captured == "whole_rows" else [])
    assert [one.reason for one in undo.conflicts()] == ["gone"]
    run(
        codes,
        "SET session_replication_role = replica",
        "UPDATE codes SET other = 7 WHERE base = 'b7'",
        "UPDATE codes SET base = 'b8' WHERE base = 'mine'",
    )
    assert dump(codes, CODES) == before
    redo = undo.redo(by="t").run()
    assert redo.progress().applied == 19
    assert execution.undo(by="t").keys([("B3-x", 0), ("B4-x", 1)]).run().progress().applied == 2
    check_invariants(codes)


@pytest.mark.usefixtures("codes")
def test_a_key_that_is_computed_is_moved_in_one_batch(ledger: Ledger) -> None:
    request = ledger.on("codes").where(col("other") > 0).update(base=col("base").concat("z"))
    execution = request.by("t").batch_size(2).streaming().run()
    assert (execution.progress().applied, execution.progress().batches) == (20, 1)


def test_what_a_computed_column_takes_along_is_refused(
    ledger: Ledger, codes: Connection[DictRow]
) -> None:
    run(
        codes,
        "CREATE TABLE uses (code text, region int,"
        " FOREIGN KEY (code, region) REFERENCES codes ON UPDATE CASCADE)",
    )
    with pytest.raises(IrreversibleCascade):
        ledger.on("codes").all().update(base="q").by("t").run()
    assert ledger.on("codes").all().update(other=0).by("t").run().progress().applied == 20


@pytest.mark.parametrize("reads", ["region", "other"])
def test_a_trigger_that_rewrites_the_key(
    ledger: Ledger, codes: Connection[DictRow], reads: str
) -> None:
    """On the way there and on the way back, or only when it sees another value."""
    condition = "" if reads == "region" else " WHEN (NEW.other = 0)"
    codes.execute(
        sql.SQL("CREATE FUNCTION move() RETURNS trigger LANGUAGE plpgsql AS {}").format(
            sql.Literal(REWRITES)
        )
    )
    codes.execute(
        f"CREATE TRIGGER move BEFORE UPDATE ON codes FOR EACH ROW{condition} EXECUTE FUNCTION move()".encode()
    )
    before = dump(codes, CODES)
    execution = ledger.on("codes").all().update(other=0).by("t").run()
    assert execution.progress().applied == 20
    check_invariants(codes, tables=["public.codes"])
    undo = execution.undo(by="t").run()
    assert undo.progress().applied == 20
    if reads == "other":
        assert undo.excepted == []
        assert dump(codes, CODES) == before
    else:
        assert undo.excepted == ["region"]
    check_invariants(codes, tables=["public.codes"])
    redo = undo.redo(by="t").run()
    assert (redo.progress().applied, list(redo.conflicts())) == (20, [])
    check_invariants(codes, tables=["public.codes"])


DRIFTS: dict[str, tuple[LiteralString, LiteralString]] = {
    "generated": (
        "ALTER TABLE codes DROP other, ADD other int GENERATED ALWAYS AS (region * 2) STORED",
        "other was integer and is integer, generated",
    ),
    "identity": (
        "ALTER TABLE codes ALTER other SET NOT NULL, ALTER other ADD GENERATED ALWAYS AS IDENTITY",
        "other was written, and is generated always as identity",
    ),
}


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("drift", DRIFTS)
@pytest.mark.parametrize("asked", ["before", "after"])
def test_a_column_that_the_server_writes_by_now(
    ledger: Ledger, codes: Connection[DictRow], drift: str, asked: str, *, hard: bool
) -> None:
    """Noticed when the undo is asked for, and when its batch comes; and an identity takes a deleted row's value."""
    alter, detail = DRIFTS[drift]
    target = ledger.on("codes").keys([("B1-x", 1), ("B2-x", 2)])
    request = target.delete(hard=True) if hard else target.update(other=7)
    whole = dump(codes, CODES)
    execution = request.by("t").run()
    undo = execution.undo(by="t").submit() if asked == "before" else None
    run(codes, alter)
    before = dump(codes, CODES)
    if hard and drift == "identity":
        undo = undo or execution.undo(by="t").submit()
        ledger.worker().finish(undo.id)
        assert undo.progress().applied == 2
        assert dump(codes, CODES) == whole
        return
    if undo is None:
        with pytest.raises(SchemaDrift) as raised:
            execution.undo(by="t").run()
        assert detail in str(raised.value)
        assert execution.undos() == []
    else:
        ledger.worker().finish(undo.id)
        assert (undo.status, undo.error) == ("failed", "schema_drift")
        (message,) = {one.message for one in undo.failures()}
        assert f"column {detail}." in (message or "")
    assert dump(codes, CODES) == before
    check_invariants(codes)
