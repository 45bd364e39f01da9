"""The rights that the guide to operations names are enough, and what is missing is said in one line."""

import re
import time
from collections.abc import Generator
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow

from action_ledger.domain.errors import PermissionDenied
from action_ledger.ops import open_ledger, waits_told
from tests.command_line import CommandLine
from tests.integration.test_documents import blocks
from tests.services import a_ledger, serving
from tests.worker_process import held, until

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "operations.md"
BY = ("--by", "user:42")
UPDATE = ("run", "places", "update", "--set", "note=new", *BY)


@pytest.fixture
def login(connection: Connection[DictRow], database_url: str) -> Generator[tuple[str, str]]:
    """A login without any right, and its URL."""
    name = f"login_{conninfo_to_dict(database_url)['dbname']}"
    role = sql.Identifier(name)
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
    yield name, make_conninfo(database_url, user=name)
    connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
    connection.execute(sql.SQL("DROP ROLE {}").format(role))


def grant(connection: Connection[DictRow], name: str, stands_for: str) -> None:
    (statements,) = [text for text in blocks(GUIDE, "sql") if f"TO {stands_for};" in text]
    connection.execute(re.sub(rf"\bTO {stands_for};", f"TO {name};", statements).encode())


def test_a_worker(connection: Connection[DictRow], places: str, login: tuple[str, str]) -> None:
    name, url = login
    grant(connection, name, "app")
    connection.execute(f"GRANT SELECT, UPDATE, DELETE, INSERT ON {places} TO {name}".encode())
    cli = CommandLine(url)
    commands: tuple[tuple[str, ...], ...] = (
        (*UPDATE, "--all"),
        ("undo", "last", *BY),
        ("redo", "last", *BY),
        ("run", "places", "delete", "--hard", "--keys", "1", "--yes", *BY),
        ("undo", "last", *BY),
        (*UPDATE, "--keys", "2", "--submit"),
        ("worker", "--until-idle"),
        ("audit",),
    )
    for command in commands:
        said = cli(*command)
        assert said.code == 0, (command, said.err)


def test_a_worker_that_may_not_ask_for_whom_it_waits(
    connection: Connection[DictRow],
    database_url: str,
    places: str,
    login: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a server that is hardened: the fourth look ended its service."""
    monkeypatch.setattr(waits_told, "PATIENCE", 0.1)
    name, url = login
    grant(connection, name, "app")
    connection.execute(f"GRANT SELECT, UPDATE ON {places} TO {name}".encode())
    connection.execute("REVOKE EXECUTE ON FUNCTION pg_blocking_pids(int) FROM PUBLIC")
    with a_ledger(url, lease_seconds=1) as ledger, serving(ledger.service()) as thread:
        with held(database_url, "UPDATE places SET note = 'mine' WHERE id = 5"):
            execution = ledger.on(places).all().update(note="new").by("user:1").submit()
            time.sleep(5)
            assert thread.is_alive()
            shown = CommandLine(url)("show", execution.id)
            assert (shown.code, execution.status) == (0, "running"), shown.err
        until(lambda: execution.status == "completed", "the end")


def test_a_reader(
    connection: Connection[DictRow], database_url: str, places: str, login: tuple[str, str]
) -> None:
    CommandLine(database_url)(*UPDATE, "--keys", "1")
    name, url = login
    cli = CommandLine(url)
    refused = cli("executions")
    assert (refused.code, refused.error, refused.err.count("\n")) == (3, "permission_denied", 1)
    assert f"GRANT USAGE ON SCHEMA action_ledger TO {name}" in refused.err
    grant(connection, name, "reader")
    for command in (("executions",), ("show",), ("outcomes",), ("history", "places", "1")):
        said = cli(*command)
        assert said.code == 0, (command, said.err)
    connection.execute(f"GRANT SELECT, UPDATE ON {places} TO {name}".encode())
    for words in ((*UPDATE, "--keys", "1"), ("undo", "last", *BY), ("audit",)):
        said = cli(*words)
        assert (said.code, said.error, said.err.count("\n")) == (3, "permission_denied", 1)


def test_who_may_not_migrate(
    empty_database_url: str, database_url: str, login: tuple[str, str]
) -> None:
    name, url = login
    empty = str(conninfo_to_dict(empty_database_url)["dbname"])
    first = CommandLine(make_conninfo(url, dbname=empty))("migrate")
    assert (first.code, first.error, first.err.count("\n")) == (3, "permission_denied", 1)
    assert f"GRANT CREATE ON DATABASE {empty} TO {name}" in first.err
    with psycopg.connect(database_url, autocommit=True) as owner:
        grants = f"GRANT USAGE ON SCHEMA action_ledger TO {name}; GRANT SELECT ON ALL TABLES IN SCHEMA action_ledger TO {name}"
        owner.execute(grants.encode())
    back = CommandLine(url)("rollback", "--yes")
    assert (back.code, back.error, back.err.count("\n")) == (3, "permission_denied", 1)
    assert "CONTEXT" not in back.err


def test_it_is_said_in_python_too(places: str, login: tuple[str, str]) -> None:
    assert places
    with pytest.raises(PermissionDenied):
        open_ledger(login[1])
