"""Two tenants in one table with row-level security: nothing that is asked for in the context of one reaches the other."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.actor import Actor
from action_ledger.domain.commands import Command
from action_ledger.domain.errors import (
    ConfirmationInvalid,
    ContextDiffers,
    ContextNotAllowed,
    ContextRequired,
    InvalidContext,
    IrreversibleCascade,
    NotAuthorized,
    RoleUnusable,
    UndoConflicts,
)
from action_ledger.domain.policy import Phase
from action_ledger.ops import Ledger
from action_ledger.ops.builder import Request
from tests.tenants import EIGHT, ROWS, SETTING, SEVEN, Tenants, tenants_on

pytestmark = [pytest.mark.every_postgres, pytest.mark.fault(18)]
UNTOUCHED = {7: {"of 7"}, 8: {"of 8"}}
OF_EIGHT = (2, 4, 6)
WAYS = ("as its login", "as a role")


@pytest.fixture
def tenants(connection: Connection[DictRow], database_url: str) -> Generator[Tenants]:
    with tenants_on(connection, database_url) as made:
        yield made


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, tenants: Tenants) -> Generator[tuple[Ledger, str | None]]:
    """A ledger whose login the policies hold for, and one whose login is above them and takes a role on."""
    if request.param == WAYS[0]:
        with tenants.ledger() as ledger:
            yield ledger, None
    else:
        with tenants.ledger_as(tenants.url) as ledger:
            yield ledger, tenants.role


Way = tuple[Ledger, str | None]


def update(way: Way, tenant: dict[str, str], note: str = "new") -> Request:
    """Update all that the tenant has, in several batches."""
    ledger, role = way
    request = ledger.on("public.accounts").all().update(note=note).batch_size(25)
    return request.context(tenant, role=role).by("user:1")


def test_all_is_all_of_one_tenant(tenants: Tenants, way: Way) -> None:
    execution = update(way, SEVEN).run()
    assert (execution.status, execution.progress().applied) == ("completed", ROWS)
    assert tenants.notes() == {7: {"new"}, 8: {"of 8"}}
    keys = [int(change["key"][0]) % 2 for change in execution.changes()]
    assert keys == [1] * ROWS


@pytest.mark.parametrize("shape", ["streaming", "small", "frozen", "streamed keys"])
def test_every_way_of_planning(tenants: Tenants, way: Way, shape: str) -> None:
    ledger, role = way
    target = ledger.on("public.accounts")
    records = target.keys(iter(range(1, 121))) if shape == "streamed keys" else target.all()
    request = records.update(note="new").context(SEVEN, role=role).by("user:1")
    request = {
        "streaming": lambda: request.streaming().batch_size(7),
        "small": lambda: request,
        "frozen": lambda: request.frozen().batch_size(30),
        "streamed keys": lambda: request.frozen().batch_size(30),
    }[shape]()
    execution = request.run()
    assert (execution.status, execution.progress().applied) == ("completed", ROWS)
    assert tenants.notes() == {7: {"new"}, 8: {"of 8"}}
    reasons = {(one.reason, int(one.key[0]) % 2) for one in execution.skipped()}
    assert reasons == ({("vanished", 0)} if shape == "streamed keys" else set())


def test_keys_of_another_tenant_are_of_no_record(tenants: Tenants, way: Way) -> None:
    ledger, role = way
    request = ledger.on("public.accounts").keys(OF_EIGHT).update(note="new").by("user:1")
    execution = request.context(SEVEN, role=role).run()
    assert [one.reason for one in execution.skipped()] == ["vanished"] * 3
    assert all(one.current is None for one in execution.skipped())
    assert tenants.notes() == UNTOUCHED


def test_a_preview_shows_one_tenant_only(tenants: Tenants, way: Way) -> None:
    preview = update(way, EIGHT).preview(sample=200)
    assert (preview.count, preview.tally.applied, preview.exact) == (ROWS, ROWS, True)
    assert {row["tenant_id"] for row in preview.sample} == {"8"}
    assert {int(change.key[0]) % 2 for change in preview.changes} == {0}
    assert tenants.notes() == UNTOUCHED
    assert update(way, EIGHT).confirm(preview.token).run().status == "completed"


def test_a_token_is_good_in_its_context_only(tenants: Tenants, way: Way) -> None:
    preview = update(way, EIGHT).preview()
    with pytest.raises(ConfirmationInvalid, match="does not confirm"):
        update(way, SEVEN).confirm(preview.token).run()
    assert tenants.notes() == UNTOUCHED


def test_an_undo_is_asked_for_in_the_same_context(tenants: Tenants, way: Way) -> None:
    ledger, role = way
    seven, eight = update(way, SEVEN).run(), update(way, EIGHT).run()
    others: list[dict[str, Any]] = [{"settings": EIGHT, "role": role}]
    others += [{"settings": SEVEN, "role": None if role else "somebody"}]
    for other in others:
        with pytest.raises(ContextDiffers):
            seven.undo(by="user:2").context(**other).run()
    with pytest.raises(ContextDiffers):
        seven.undo(by="user:2").run()
    assert seven.undos() == []
    undo = seven.undo(by="user:1").context(SEVEN, role=role).run()
    assert (undo.status, undo.progress().applied) == ("completed", ROWS)
    assert tenants.notes() == {7: {"of 7"}, 8: {"new"}}
    with pytest.raises(ContextDiffers):
        undo.redo(by="user:2").context(EIGHT, role=role).run()
    assert undo.redo(by="user:1").context(SEVEN, role=role).run().progress().applied == ROWS
    assert eight.context is not None
    assert eight.context.settings == EIGHT
    assert ledger.execution(seven.id).status == "completed"


def rejected(tenants: Tenants) -> list[str]:
    rows = tenants.connection.execute(
        "SELECT convert_from(state, 'UTF8')::jsonb ->> 'error' AS error FROM action_ledger.stored_events"
        " WHERE topic = 'command.rejected' ORDER BY notification_id"
    )
    return [row["error"] for row in rows]


def test_what_reaches_for_another_tenant_is_recorded(tenants: Tenants) -> None:
    with tenants.ledger() as ledger:
        seven = update((ledger, None), SEVEN).run()
        with pytest.raises(ContextDiffers):
            seven.undo(by="user:2").context(EIGHT).submit()
        with pytest.raises(ContextNotAllowed):
            update((ledger, tenants.login), SEVEN).run()
        assert rejected(tenants) == ["context_differs", "context_not_allowed"]


def test_the_hosts_rules_see_the_context(tenants: Tenants) -> None:
    phases: list[str] = []

    def authorize(_actor: Actor, command: Command, phase: Phase) -> bool:
        phases.append(phase)
        whose = getattr(command, "context", None)
        return whose is not None and whose.settings == SEVEN

    with tenants.ledger_as(tenants.login_url, authorize=authorize) as ledger:
        seven = update((ledger, None), SEVEN).submit()
        seven.finish()
        assert seven.undo(by="user:1").context(SEVEN).run().status == "completed"
        with pytest.raises(NotAuthorized):
            update((ledger, None), EIGHT).submit()
    assert set(phases) == {"request", "batch", "undo"}


def test_the_undo_of_a_delete(tenants: Tenants, way: Way) -> None:
    ledger, role = way
    request = ledger.on("public.accounts").all().delete(hard=True).batch_size(25).by("user:1")
    gone = request.context(SEVEN, role=role).run()
    assert gone.progress().applied == ROWS
    assert tenants.notes() == {8: {"of 8"}}
    undo = gone.undo(by="user:1").context(SEVEN, role=role).run()
    assert (undo.status, undo.progress().applied) == ("completed", ROWS)
    assert tenants.notes() == UNTOUCHED


def test_a_record_that_went_to_another_tenant_is_gone(tenants: Tenants, way: Way) -> None:
    _, role = way
    seven = update(way, SEVEN).run()
    tenants.connection.execute("UPDATE public.accounts SET tenant_id = 8, note = 'x' WHERE id = 1")
    undo = seven.undo(by="user:1").context(SEVEN, role=role).run()
    conflicts = [(one.key, one.reason, one.current) for one in undo.conflicts()]
    assert conflicts == [(("1",), "gone", {"note": None})]
    forced = update(way, SEVEN, "again").run().undo(by="user:1").context(SEVEN, role=role)
    assert forced.on_conflict("force").run().status == "completed"
    row = tenants.connection.execute("SELECT note FROM public.accounts WHERE id = 1").fetchone()
    assert row == {"note": "x"}


def test_an_undo_that_refuses_conflicts_looks_within_the_tenant(tenants: Tenants, way: Way) -> None:
    _, role = way
    undo = update(way, SEVEN).run().undo(by="user:1").context(SEVEN, role=role).on_conflict("fail")
    tenants.connection.execute("UPDATE public.accounts SET note = 'x' WHERE tenant_id = 8")
    assert undo.run().progress().applied == ROWS
    again = update(way, SEVEN).run().undo(by="user:1").context(SEVEN, role=role)
    tenants.connection.execute("UPDATE public.accounts SET tenant_id = 8 WHERE id = 1")
    with pytest.raises(UndoConflicts):
        again.on_conflict("fail").run()


def test_no_record_can_be_given_to_another_tenant(tenants: Tenants, way: Way) -> None:
    ledger, role = way
    request = ledger.on("public.accounts").all().update(tenant_id=8).by("user:1")
    execution = request.context(SEVEN, role=role).run()
    assert {one.sqlstate for one in execution.failures()} == {"42501"}
    assert execution.progress().failed == ROWS
    assert tenants.notes() == UNTOUCHED


def test_the_history_is_that_of_one_context(way: Way) -> None:
    ledger, role = way
    seven = update(way, SEVEN).run()
    whose: dict[str, Any] = {"context": SEVEN, "role": role}
    entries = ledger.history("accounts", 1, **whose)
    assert [entry.execution_id for entry in entries] == [seven.id]
    assert ledger.history("accounts", 1, context=EIGHT, role=role) == []
    with pytest.raises(ContextRequired):
        ledger.history("accounts", 1)
    undo = seven.undo(by="user:1").context(SEVEN, role=role).run()
    assert ledger.history("accounts", 1, **whose)[-1].undo_id == undo.id


def test_an_export_has_one_tenant_only(tenants: Tenants, way: Way, tmp_path: Path) -> None:
    _, role = way
    path = tmp_path / "accounts.csv"
    url = tenants.url if role else tenants.login_url
    with tenants.ledger_as(url, export_dir=tmp_path) as writing:
        request = writing.on("public.accounts").all().export(str(path), format="csv").by("user:1")
        execution = request.context(SEVEN, role=role).batch_size(25).run()
        assert execution.status == "completed"
    lines = path.read_text().splitlines()[1:]
    assert (len(lines), {line.split(",")[1] for line in lines}) == (ROWS, {"7"})


def test_a_retry_stays_in_its_context(way: Way) -> None:
    _, role = way
    seven = update(way, SEVEN).run()
    with pytest.raises(ContextDiffers):
        seven.retry(by="user:2", not_processed=True).context(EIGHT, role=role).run()
    assert seven.retry(by="user:1").context(SEVEN, role=role).run().status == "completed"


def test_a_table_with_policies_wants_a_context(tenants: Tenants) -> None:
    for url in (tenants.login_url, tenants.url):
        with tenants.ledger_as(url) as ledger:
            request = ledger.on("public.accounts").all().update(note="new").by("user:1")
            for end in (request.run, request.submit, request.preview):
                with pytest.raises(ContextRequired) as caught:
                    end()
                assert ".context()" in caught.value.message
    assert tenants.notes() == UNTOUCHED


def test_a_login_above_the_policies_is_refused(tenants: Tenants) -> None:
    connection, login = tenants.connection, tenants.login
    above, forced = tenants.ledger_as(tenants.url), "FORCE ROW LEVEL SECURITY"
    with above, pytest.raises(ContextRequired, match=forced):
        update((above, None), SEVEN).run()
    with tenants.ledger() as ledger:
        connection.execute(f"ALTER ROLE {login} BYPASSRLS".encode())
        with pytest.raises(ContextRequired, match=login):
            update((ledger, None), SEVEN).run()
        connection.execute(f"ALTER ROLE {login} NOBYPASSRLS".encode())
        connection.execute(f"ALTER TABLE public.accounts OWNER TO {login}".encode())
        with pytest.raises(ContextRequired, match=login):
            update((ledger, None), SEVEN).run()
        assert tenants.notes() == UNTOUCHED
        connection.execute("ALTER TABLE public.accounts FORCE ROW LEVEL SECURITY")
        assert update((ledger, None), SEVEN).run().progress().applied == ROWS
        connection.execute("ALTER TABLE public.accounts OWNER TO CURRENT_USER")
    assert tenants.notes() == {7: {"new"}, 8: {"of 8"}}


def test_rights_that_change_before_the_batches(tenants: Tenants) -> None:
    with tenants.ledger() as ledger:
        execution = update((ledger, None), SEVEN).submit()
        undone = update((ledger, None), EIGHT).run()
        tenants.connection.execute(f"ALTER ROLE {tenants.login} BYPASSRLS".encode())
        execution.finish()
        assert execution.status == "failed"
        with pytest.raises(ContextRequired):
            undone.undo(by="user:1").context(EIGHT).run()
        tenants.connection.execute(f"ALTER ROLE {tenants.login} NOBYPASSRLS".encode())
        undo = undone.undo(by="user:1").context(EIGHT).submit()
        tenants.connection.execute(f"ALTER ROLE {tenants.login} BYPASSRLS".encode())
        undo.finish()
        assert undo.status == "failed"
    assert tenants.notes() == {7: {"of 7"}, 8: {"new"}}


def test_policies_that_come_after_the_request(tenants: Tenants) -> None:
    off = "ALTER TABLE public.accounts DISABLE ROW LEVEL SECURITY"
    tenants.connection.execute(off)
    with tenants.ledger() as ledger:
        request = ledger.on("public.accounts").all().update(note="new").batch_size(25).by("user:1")
        done, waiting = request.run(), request.submit()
        tenants.connection.execute(off.replace("DISABLE", "ENABLE"))
        waiting.finish()
        assert waiting.status == "failed"
        with pytest.raises(ContextRequired):
            done.undo(by="user:1").run()


CHILDREN = """
CREATE TABLE public.entries (id int PRIMARY KEY, tenant_id int NOT NULL,
    account int NOT NULL REFERENCES public.accounts ON DELETE CASCADE);
INSERT INTO public.entries SELECT id, tenant_id, id FROM public.accounts;
ALTER TABLE public.entries ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON public.entries
    USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::int);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.entries TO PUBLIC;
"""


def entries(tenants: Tenants) -> dict[int, int]:
    rows = tenants.connection.execute("SELECT tenant_id, count(*) FROM public.entries GROUP BY 1")
    return {row["tenant_id"]: row["count"] for row in rows}


def test_children_that_go_along(tenants: Tenants, way: Way) -> None:
    """Under their policies they are captured; one of another tenant, which the server would take too, stops it."""
    ledger, role = way
    tenants.connection.execute(CHILDREN)
    tenants.connection.execute("INSERT INTO public.entries VALUES (1000, 8, 1)")
    request = ledger.on("public.accounts").all().delete(hard=True).by("user:1")
    gone = request.context(SEVEN, role=role).run()
    assert (gone.progress().applied, gone.reached()) == (ROWS - 1, {"public.entries": ROWS - 1})
    assert [(one.key, one.sqlstate) for one in gone.failures()] == [(("1",), "27000")]
    assert entries(tenants) == {7: 1, 8: ROWS + 1}
    assert gone.undo(by="user:1").context(SEVEN, role=role).run().status == "completed"
    assert entries(tenants) == {7: ROWS, 8: ROWS + 1}
    assert tenants.notes() == UNTOUCHED


def test_children_on_a_server_that_does_not_count(tenants: Tenants) -> None:
    """Nothing would tell that the server's cascade took another tenant's row: here it is not even begun."""
    tenants.connection.execute(CHILDREN)
    tenants.connection.execute("INSERT INTO public.entries VALUES (1000, 8, 1)")
    off = f"ALTER DATABASE {tenants.connection.info.dbname} SET track_counts = off"
    tenants.connection.execute(off.encode())
    with tenants.ledger() as ledger, pytest.raises(IrreversibleCascade, match="row-level security"):
        ledger.on("public.accounts").all().delete(hard=True).context(SEVEN).by("user:1").run()
    assert entries(tenants) == {7: ROWS, 8: ROWS + 1}
    assert tenants.notes() == UNTOUCHED


def test_children_whose_policies_do_not_hold(tenants: Tenants) -> None:
    tenants.connection.execute(CHILDREN)
    tenants.connection.execute(f"ALTER TABLE public.entries OWNER TO {tenants.login}".encode())
    with tenants.ledger() as ledger, pytest.raises(IrreversibleCascade, match="policies hold"):
        ledger.on("public.accounts").all().delete(hard=True).context(SEVEN).by("user:1").run()
    tenants.connection.execute("ALTER TABLE public.entries OWNER TO CURRENT_USER")
    assert tenants.notes() == UNTOUCHED


@pytest.mark.parametrize(
    ("settings", "role"),
    [
        ({"session_replication_role": "replica"}, None),
        ({"role": "postgres"}, None),
        ({"app.tenant_id, role": "x"}, None),
        ({'app."x"': "x"}, None),
        ({"App.tenant": "x"}, None),
        ({"app.": "x"}, None),
        ({f"app.{'x' * 80}": "x"}, None),
        ({SETTING: "7\0"}, None),
        ({SETTING: "\ud800"}, None),
        ({SETTING: 7}, None),
        ({SETTING: None}, None),
        ({SETTING: "x" * 1001}, None),
        ({}, None),
        ({}, ""),
        ({}, "none"),
        ({}, "a\0b"),
        ({}, "x" * 64),
    ],
)
def test_what_is_no_context(tenants: Tenants, settings: Any, role: Any) -> None:
    with tenants.ledger() as ledger, pytest.raises(InvalidContext, match="context"):
        update((ledger, role), settings).run()


@pytest.mark.parametrize("value", ["7'; RESET ROLE; --", "8 OR 1=1", "", "7, 8", "%s", "$1"])
def test_a_hostile_value_is_a_value(tenants: Tenants, way: Way, value: str) -> None:
    tenants.connection.execute(
        "ALTER POLICY of_tenant ON public.accounts"
        " USING (tenant_id::text = current_setting('app.tenant_id', true))"
    )
    execution = update(way, {SETTING: value}).run()
    assert (execution.status, execution.progress().applied) == ("completed", 0)
    assert tenants.notes() == UNTOUCHED


def test_what_is_not_on_the_list(tenants: Tenants) -> None:
    with tenants.ledger(context_settings=("app.tenant_id", "web.*"), context_roles=()) as ledger:
        for settings, role, kind in (
            ({"app.user_id": "1"}, None, "SETTINGS"),
            ({"app.tenant_id": "7", "webb.x": "1"}, None, "SETTINGS"),
            ({"plpgsql.check_asserts": "off"}, None, "SETTINGS"),
            ({SETTING: "7"}, tenants.role, "ROLES"),
        ):
            request = update((ledger, role), settings)
            for end in (request.run, request.submit, request.preview):
                with pytest.raises(ContextNotAllowed, match=f"ACTION_LEDGER_CONTEXT_{kind}"):
                    end()
            with pytest.raises(ContextNotAllowed):
                request.schedule(cron="0 0 * * *", timezone="UTC")
            with pytest.raises(ContextNotAllowed):
                request.then(request).submit()
        assert update((ledger, None), {**SEVEN, "web.anything.at_all": "1"}).run().status
    with tenants.ledger(context_settings=()) as ledger, pytest.raises(ContextNotAllowed):
        update((ledger, None), SEVEN).run()


def test_a_list_that_is_shorter_when_a_schedule_runs(tenants: Tenants) -> None:
    with tenants.ledger() as ledger:
        schedule = update((ledger, None), SEVEN).schedule(cron="0 0 1 1 *", timezone="UTC")
    with tenants.ledger(context_settings=()) as ledger, pytest.raises(ContextNotAllowed):
        ledger.schedule(schedule.id).run_now(by="user:1")


def test_a_role_that_cannot_be_taken_on(tenants: Tenants) -> None:
    connection, role = tenants.connection, tenants.role
    hostile = 'nobody"; RESET ROLE; --'
    with tenants.ledger_as(tenants.url, context_roles=(role, hostile, "nobody")) as ledger:
        for name in ("nobody", hostile):
            with pytest.raises(RoleUnusable, match="does not exist"):
                update((ledger, name), SEVEN).run()
        connection.execute(f"ALTER ROLE {role} LOGIN".encode())
        with pytest.raises(RoleUnusable, match="log in"):
            update((ledger, role), SEVEN).run()
        connection.execute(f"ALTER ROLE {role} NOLOGIN".encode())
        connection.execute(f"REVOKE ALL ON SCHEMA action_ledger FROM {role}".encode())
        with pytest.raises(RoleUnusable, match="no rights on the ledger's tables"):
            update((ledger, role), SEVEN).run()
    with tenants.ledger() as ledger, pytest.raises(RoleUnusable, match="permission denied"):
        update((ledger, role), SEVEN).run()
    assert tenants.notes() == UNTOUCHED
