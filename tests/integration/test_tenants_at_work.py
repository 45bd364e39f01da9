"""Workers, schedules, chains, the inbox, actions of the host and the command line stay within one tenant too."""

import re
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import Parameters, col, record_action
from action_ledger.domain.actions import Reversibility
from action_ledger.domain.context import Context
from action_ledger.domain.errors import ContextDiffers, ContextNotAllowed
from action_ledger.ops import ExecutionHandle, Ledger
from action_ledger.projections.store import Transaction
from action_ledger.workers.context import assume
from tests.command_line import CommandLine
from tests.integration.test_cli_ways_back import offered, paste
from tests.invariants import check_invariants
from tests.mailer import letter
from tests.tenants import EIGHT, ROWS, SETTING, SEVEN, Tenants, tenants_on

Way = tuple[Ledger, str | None]
WAYS = ("as its login", "as a role")
NEW = {7: {"new"}, 8: {"of 8"}}
BY_ONE = ("--by", "user:1")
UNTOUCHED = {7: {"of 7"}, 8: {"of 8"}}
seen: list[int] = []


@record_action
def mark(record: dict[str, Any], _parameters: Parameters) -> dict[str, object]:
    """Note that it was seen."""
    seen.append(record["tenant_id"])
    return {"note": f"seen of {record['tenant_id']}"}


@pytest.fixture
def tenants(connection: Connection[DictRow], database_url: str) -> Generator[Tenants]:
    with tenants_on(connection, database_url) as made:
        yield made


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, tenants: Tenants) -> Generator[Way]:
    url, role = (
        (tenants.login_url, None) if request.param == WAYS[0] else (tenants.url, tenants.role)
    )
    with tenants.ledger_as(url, actions=(mark,), pool_max_size=1, pool_min_size=1) as ledger:
        yield ledger, role
        with ledger.store.transaction() as transaction:
            row = transaction.cursor.execute(
                "SELECT current_setting(%s, true) AS tenant, current_user = session_user AS own",
                [SETTING],
            ).fetchone()
        assert row is not None
        assert (row["tenant"] or "", row["own"]) == ("", True), "the connection kept something"


def submit(way: Way, tenant: dict[str, str], note: str, size: int = 10) -> ExecutionHandle:
    ledger, role = way
    request = ledger.on("public.accounts").all().update(note=note).batch_size(size)
    return request.context(tenant, role=role).by("user:1").submit()


@pytest.mark.every_postgres
def test_batches_of_both_by_turns(tenants: Tenants, way: Way) -> None:
    """One connection does them, one after the other."""
    ledger, _ = way
    both = [submit(way, SEVEN, "for 7"), submit(way, EIGHT, "for 8")]
    worker = ledger.worker()
    steps = 1
    while steps:
        steps = sum(worker.step(execution.id) for execution in both)
    assert [execution.progress().applied for execution in both] == [ROWS, ROWS]
    assert tenants.notes() == {7: {"for 7"}, 8: {"for 8"}}
    for execution, odd in zip(both, (1, 0), strict=True):
        assert {int(change["key"][0]) % 2 for change in execution.changes()} == {odd}
    check_invariants(tenants.connection)


def test_a_fault_leaves_nothing_behind(tenants: Tenants, way: Way) -> None:
    ledger, role = way
    failing = (
        "ALTER TABLE public.accounts ADD CONSTRAINT odd CHECK (note <> 'bad' OR id NOT IN (1, 31))"
    )
    tenants.connection.execute(failing)
    bad = submit(way, SEVEN, "bad", 60)
    good = submit(way, EIGHT, "good", 60)
    worker = ledger.worker()
    while worker.step():
        pass
    assert sorted(int(one.key[0]) for one in bad.failures()) == [1, 31]
    assert (bad.progress().applied, good.progress().applied) == (ROWS - 2, ROWS)
    assert tenants.notes() == {7: {"bad", "of 7"}, 8: {"good"}}
    request = ledger.on("public.accounts").all().update(note="bad").on_failure("rollback")
    rolled = request.context(SEVEN, role=role).by("user:1").run()
    assert rolled.status == "rolled_back"
    assert tenants.notes() == {7: {"bad", "of 7"}, 8: {"good"}}


def test_an_action_of_the_hosts_sees_one_tenant(tenants: Tenants, way: Way) -> None:
    ledger, role = way
    seen.clear()
    request = ledger.on("public.accounts").all().apply("mark").batch_size(25)
    execution = request.context(SEVEN, role=role).by("user:1").run()
    assert (execution.status, seen) == ("completed", [7] * ROWS)
    assert tenants.notes() == {7: {"seen of 7"}, 8: {"of 8"}}


def test_an_effect_and_its_compensation_see_one_tenant(tenants: Tenants, way: Way) -> None:
    """Under its lease, page by page, in transactions of their own."""
    _, role = way
    told: list[tuple[str, Any]] = []
    effect = letter(
        "tell",
        handler=lambda record, *_: told.append(("told", record["tenant_id"])),
        compensate=lambda record, *_: told.append(("back", record.get("tenant_id"))),
        reversibility=Reversibility.COMPENSABLE,
    )
    with tenants.ledger_as(tenants.url if role else tenants.login_url, (effect,)) as ledger:
        keys = range(1, 121)
        request = ledger.on("public.accounts").keys(keys).apply("tell", log="-").by("user:1")
        execution = request.context(SEVEN, role=role).run()
        assert (execution.progress().applied, told) == (ROWS, [("told", 7)] * ROWS)
        with pytest.raises(ContextDiffers):
            execution.undo(by="user:2").context(EIGHT, role=role).run()
        tenants.connection.execute("UPDATE public.accounts SET tenant_id = 8 WHERE id < 20")
        told.clear()
        execution.undo(by="user:1").context(SEVEN, role=role).run()
        assert set(told) == {("back", 7), ("back", None)}, "a row that moved is gone"


def test_a_trigger_is_run_for_the_role(tenants: Tenants, way: Way) -> None:
    _, role = way
    tenants.connection.execute(
        "CREATE FUNCTION public.who() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " NEW.note = current_user || current_setting('app.tenant_id'); RETURN NEW; END $$;"
        " CREATE TRIGGER who BEFORE UPDATE ON public.accounts FOR EACH ROW EXECUTE FUNCTION public.who()"
    )
    execution = submit(way, SEVEN, "x")
    execution.finish()
    assert tenants.notes() == {7: {f"{role or tenants.login}7"}, 8: {"of 8"}}


@pytest.mark.parametrize("frozen", ["evaluated", "frozen"])
def test_a_schedule(tenants: Tenants, way: Way, frozen: str) -> None:
    ledger, role = way
    request = ledger.on("public.accounts").all().update(note="new").by("user:1")
    schedule = request.context(SEVEN, role=role).schedule(
        cron="0 0 1 1 *", timezone="UTC", selection=frozen
    )
    execution = schedule.run_now(by="user:1")
    execution.finish()
    assert (execution.status, execution.progress().applied) == ("completed", ROWS)
    assert tenants.notes() == NEW


def test_a_chain_has_one_context(tenants: Tenants, way: Way) -> None:
    ledger, role = way
    first = ledger.on("public.accounts").all().update(note="first").by("user:1")
    then = ledger.on("public.accounts").where(col("note") == "first").update(note="new")
    chain = first.then(then).context(SEVEN, role=role).run()
    assert chain.status == "completed"
    assert tenants.notes() == NEW
    for other in ({}, {"context": EIGHT, "role": role}):
        with pytest.raises(ContextDiffers):
            chain.undo(by="user:2", **other)  # type: ignore[arg-type]
    chain.undo(by="user:1", context=SEVEN, role=role).finish()
    assert chain.status == "compensated"
    assert tenants.notes() == UNTOUCHED


def test_the_inbox(tenants: Tenants, way: Way) -> None:
    ledger, role = way
    with psycopg.connect(tenants.url) as host:
        request = ledger.within(host).on("public.accounts").all().update(note="new").by("user:1")
        with pytest.raises(ContextNotAllowed):
            request.context({"app.other": "7"}).submit()
        execution = request.context(SEVEN, role=role).submit()
    assert ledger.inbox.take_in() == 1
    execution.finish()
    assert tenants.notes() == NEW


def test_the_command_line(tenants: Tenants) -> None:
    cli = CommandLine(tenants.login_url)
    cli.environment["ACTION_LEDGER_CONTEXT_SETTINGS"] = '["app.*"]'
    every = ("accounts", "update", "--all", "--set", "note=new", "--by", "user:1")
    seven, eight = ("--context", f"{SETTING}=7"), ("--context", f"{SETTING}=8")
    for refused, code in (
        ((), "context_required"),
        (("--context", "app"), "invalid_context"),
        ((*seven, *seven), "invalid_context"),
        (("--context", "role=postgres"), "invalid_context"),
        (("--context", "web.tenant=7"), "context_not_allowed"),
        ((*seven, "--role", tenants.role), "context_not_allowed"),
    ):
        said = cli("run", *every, *refused)
        assert said.error == code, said.err
        assert "--param" not in said.err
    wrong = cli("run", *every, "--context", "tenant=7").err
    assert "--context tenant: a setting has a name of two parts" in wrong
    assert "--role: it is empty" in cli("run", *every, *seven, "--role", "").err
    assert cli("preview", *every, *seven, "--json").json["count"] == ROWS
    assert cli("run", *every, *seven).code == 0
    assert re.search(r"context +app.tenant_id=7\n", cli("show", "last").out)
    assert cli("show", "last", "--json").json["context"]["settings"] == {"app.tenant_id": "7"}
    assert tenants.notes() == NEW
    assert cli("history", "accounts", "1").error == "context_required"
    assert len(cli("history", "accounts", "1", *seven, "--json").json) == 1
    assert cli("history", "accounts", "1", *eight, "--json").json == []
    assert cli("show").code == 0
    assert cli("undo", "last", "--by", "user:2").error == "context_differs"
    assert cli("undo", "last", "--by", "user:2", *eight).error == "context_differs"
    tenants.connection.execute("UPDATE public.accounts SET note = 'else' WHERE id = 1")
    assert cli("undo", "last", "--by", "user:1", *seven).code != 0, "one is in conflict"
    assert tenants.notes() == {7: {"of 7", "else"}, 8: {"of 8"}}
    assert cli("redo", "last", "--by", "user:1", *eight).error == "context_differs"
    assert cli("redo", "last", "--by", "user:1", *seven).code == 0
    for words in (("schedule", *every, "--cron", "0 0 1 1 *", "--timezone", "UTC"),):
        assert cli(*words).error == "context_required"
        assert cli(*words, *seven).code == 0


def test_one_context_after_the_other_in_a_transaction(way: Way) -> None:
    """What one has set is not there for the next, also after a rollback to a savepoint; nor is its role."""
    ledger, role = way

    def now(transaction: Transaction) -> tuple[str, ...]:
        row = transaction.cursor.execute(
            "SELECT current_setting('app.a', true) AS a, current_setting('app.b', true) AS b,"
            " current_user::text AS role"
        ).fetchone()
        assert row is not None
        return (row["a"] or "", row["b"] or "", row["role"])

    with ledger.store.transaction() as transaction:
        own = now(transaction)[2]
        assume(transaction, Context(settings={"app.a": "1"}, role=role))
        assert now(transaction) == ("1", "", role or own)
        with suppress(ValueError), transaction.savepoint():
            assume(transaction, None)
            assert now(transaction) == ("", "", own)
            raise ValueError
        assume(transaction, Context(settings={"app.b": "2"}))
        assert now(transaction) == ("", "2", own)
        with suppress(ValueError), transaction.savepoint():
            assume(transaction, Context(settings={"app.a": "3"}, role=role))
            raise ValueError
        assume(transaction, None)
        assert now(transaction) == ("", "", own)


def test_offered_commands_have_the_context(tenants: Tenants) -> None:
    cli = CommandLine(tenants.url)
    cli.environment["ACTION_LEDGER_CONTEXT_SETTINGS"] = '["app.*"]'
    cli.environment["ACTION_LEDGER_CONTEXT_ROLES"] = f'["{tenants.role}"]'
    whose = ("--context", f"{SETTING}=7", "--role", tenants.role)
    ran = cli("run", "accounts", "update", "--all", "--set", "note=new", *BY_ONE, *whose)
    refused = cli("undo", "last", *BY_ONE)
    assert refused.error == "context_differs"
    assert "--context and --role" in refused.err
    assert "action-ledger show" in refused.err
    tenants.connection.execute("UPDATE public.accounts SET note = 'else' WHERE id = 1")
    undone = paste(cli, offered(ran)[-1])
    assert undone.code == 1, undone.err
    assert "1 was changed since" in undone.out
    force = next(words for words in offered(undone) if "force" in words)
    forced = paste(cli, force, "--yes")
    assert forced.code == 0, forced.err
    assert tenants.notes() == UNTOUCHED
    redone = paste(cli, offered(forced)[-1])
    assert redone.code == 0, redone.err
    for said in (undone, redone, cli("show", "last")):
        words = offered(said)[-1]
        assert paste(cli, words, "--preview").code == 0, words


def test_an_offered_retry_has_the_context(tenants: Tenants) -> None:
    cli = CommandLine(tenants.login_url)
    cli.environment["ACTION_LEDGER_CONTEXT_SETTINGS"] = '["app.*"]'
    whose = ("--context", f"{SETTING}=7")
    tenants.connection.execute(
        "ALTER TABLE public.accounts ADD CONSTRAINT not_new CHECK (note <> 'new')"
    )
    ran = cli("run", "accounts", "update", "--all", "--set", "note=new", *BY_ONE, *whose)
    assert ran.code == 1
    tenants.connection.execute("ALTER TABLE public.accounts DROP CONSTRAINT not_new")
    retry = next(words for words in offered(ran) if words[0] == "retry")
    said = paste(cli, retry)
    assert said.code == 0, said.err
    assert tenants.notes() == NEW
