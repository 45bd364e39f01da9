"""A worker is killed in the middle of one tenant's batch, and the other tenant's is next: each stays within its rows."""

from collections.abc import Generator

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from tests.crash.harness import finished, killed
from tests.faults import injected
from tests.invariants import check_invariants
from tests.tenants import EIGHT, ROWS, SEVEN, Tenants, tenants_on

STEPS = ("batch.claimed", "batch.applied", "batch.appended", "batch.before_commit")


@pytest.fixture
def tenants(connection: Connection[DictRow], database_url: str) -> Generator[Tenants]:
    with tenants_on(connection, database_url) as made:
        yield made


@pytest.mark.every_postgres
@pytest.mark.parametrize("with_role", [False, True])
def test_killed_between_two_tenants(tenants: Tenants, *, with_role: bool) -> None:
    role = tenants.role if with_role else None
    url = tenants.url if with_role else tenants.login_url
    with tenants.ledger_as(url) as ledger:
        both = [
            ledger.on("public.accounts")
            .all()
            .update(note=f"new {tenant['app.tenant_id']}")
            .context(tenant, role=role)
            .batch_size(10)
            .by("user:1")
            .submit()
            for tenant in (SEVEN, EIGHT)
        ]
        killed({"url": url, "job": both[0].id, "step": "plan.cut"})
        for step in STEPS:
            for execution in both:
                killed({"url": url, "job": execution.id, "step": step, "at": 1})
                injected(18)
        finished(*({"url": url, "job": execution.id} for execution in both))
        assert [execution.progress().applied for execution in both] == [ROWS, ROWS]
        assert tenants.notes() == {7: {"new 7"}, 8: {"new 8"}}
        undo = both[0].undo(by="user:1").context(SEVEN, role=role).submit()
        killed({"url": url, "job": undo.id, "step": "compensation.applied", "at": 2})
        finished({"url": url, "job": undo.id})
        assert tenants.notes() == {7: {"of 7"}, 8: {"new 8"}}
        check_invariants(tenants.connection)
