"""Undo in depth where rows belong to tenants: previews, merges and columns are within the context, and so is what came later."""

from collections.abc import Generator

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.errors import ContextDiffers
from tests.invariants import check_invariants
from tests.tenants import EIGHT, ROWS, SEVEN, Tenants, tenants_on

pytestmark = pytest.mark.every_postgres


@pytest.fixture
def tenants(connection: Connection[DictRow], database_url: str) -> Generator[Tenants]:
    with tenants_on(connection, database_url) as made:
        yield made


@pytest.mark.parametrize("by_role", [False, True])
def test_within_the_context(tenants: Tenants, *, by_role: bool) -> None:
    role = tenants.role if by_role else None
    url = tenants.url if by_role else tenants.login_url
    with tenants.ledger_as(url) as ledger:
        accounts = ledger.on("public.accounts")
        update = accounts.all().update(note="new", deleted_at="2027-01-01T00:00:00Z")
        execution = update.batch_size(25).context(SEVEN, role=role).by("user:1").run()
        tenants.connection.execute("UPDATE public.accounts SET note = 'mine' WHERE id = 1")
        undo = execution.undo(by="user:1").on_conflict("merge")
        for whose in (undo, undo.context(EIGHT, role=role)):
            with pytest.raises(ContextDiffers):
                whose.preview()
        undo = undo.context(SEVEN, role=role)
        shown = undo.preview()
        assert (shown.tally.applied, shown.left) == (ROWS, {"columns_changed_since": 1})
        assert undo.columns("deleted_at").run().progress().applied == ROWS
        done = undo.run()
        assert (done.progress().applied, done.progress().skipped) == (ROWS - 1, 1)
        assert tenants.notes() == {7: {"of 7", "mine"}, 8: {"of 8"}}
        check_invariants(tenants.connection, ledger=ledger)


def test_what_came_later_is_of_the_context(tenants: Tenants) -> None:
    with tenants.ledger() as ledger:
        accounts = ledger.on("public.accounts")
        request = accounts.keys([1, 3, 5]).update(note="new").by("user:1")
        execution = request.context(SEVEN).run()
        tenants.connection.execute("UPDATE public.accounts SET tenant_id = 8 WHERE id IN (3, 5)")
        accounts.keys([1]).update(note="newer").by("user:7").context(SEVEN).run()
        accounts.keys([3, 5]).update(note="newer").by("user:8").context(EIGHT).run()
        assert [(one.actor, one.records) for one in execution.later()] == [("user:7", 1)]
