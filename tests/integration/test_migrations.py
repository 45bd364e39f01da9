"""Migrations: up, down and up again give one schema; processes may race; alterations are noticed."""

import subprocess
import sys
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow, dict_row
from psycopg.sql import SQL, Identifier

from action_ledger.domain.errors import MigrationAltered, StoreNotMigrated, StoreTooNew
from action_ledger.ops.migrations import (
    Migration,
    migrate,
    read_migrations,
    require_current,
    rollback,
    status,
)
from tests.servers import SCHEMA, TestServer

pytestmark = pytest.mark.every_postgres

SAMPLE = (
    Migration(1, "one", "CREATE TABLE {schema}.one (a int)", "DROP TABLE {schema}.one"),
    Migration(
        2,
        "two",
        "CREATE TABLE {schema}.two (a int DEFAULT 7); INSERT INTO {schema}.two DEFAULT VALUES",
        "DROP TABLE {schema}.two",
    ),
)


@pytest.fixture
def empty(empty_database_url: str) -> Generator[Connection[DictRow]]:
    with Connection[DictRow].connect(
        empty_database_url, autocommit=True, row_factory=dict_row
    ) as opened:
        yield opened


def dump(server: TestServer, url: str) -> str:
    """Dump the ledger's schema, without the lines that differ from dump to dump."""
    command = [
        str(server.programs / "pg_dump"),
        "--schema-only",
        "--schema",
        SCHEMA,
        "--dbname",
        url,
    ]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return "\n".join(line for line in text.splitlines() if not line.startswith("\\"))


def test_up_down_up_gives_the_same_schema(
    server: TestServer, empty_database_url: str, empty: Connection[DictRow]
) -> None:
    known = list(read_migrations())
    assert migrate(empty, SCHEMA) == known
    first = dump(server, empty_database_url)
    assert "stored_events" in first

    assert rollback(empty, SCHEMA, steps=len(known)) == known[::-1]
    nothing_but_the_register = dump(server, empty_database_url)
    assert "stored_events" not in nothing_but_the_register
    for kind in ("FUNCTION", "TYPE", "SEQUENCE", "VIEW"):
        assert f"CREATE {kind}" not in nothing_but_the_register

    assert migrate(empty, SCHEMA) == known
    assert dump(server, empty_database_url) == first
    assert migrate(empty, SCHEMA) == []


def test_each_step_down_and_up_gives_the_same_schema(
    server: TestServer, empty_database_url: str, empty: Connection[DictRow]
) -> None:
    dumps = [dump(server, empty_database_url)] if migrate(empty, SCHEMA, to=0) == [] else []
    for step in read_migrations():
        assert migrate(empty, SCHEMA, to=step.version) == [step]
        dumps.append(dump(server, empty_database_url))
    for step in reversed(read_migrations()):
        assert dump(server, empty_database_url) == dumps[step.version]
        assert rollback(empty, SCHEMA) == [step]
    assert dump(server, empty_database_url) == dumps[0]


def test_another_schema_is_apart(empty: Connection[DictRow]) -> None:
    migrate(empty, "one_ledger", migrations=SAMPLE)
    migrate(empty, "another_ledger", migrations=SAMPLE, to=1)
    assert [
        step.applied_at is not None for step in status(empty, "another_ledger", migrations=SAMPLE)
    ] == [
        True,
        False,
    ]
    require_current(empty, "one_ledger", migrations=SAMPLE)


def test_unmigrated_is_a_typed_error_that_says_what_to_do(empty: Connection[DictRow]) -> None:
    with pytest.raises(StoreNotMigrated, match="action-ledger migrate") as raised:
        require_current(empty, SCHEMA)
    assert (raised.value.current, raised.value.schema) == (0, SCHEMA)
    migrate(empty, SCHEMA, migrations=SAMPLE, to=1)
    with pytest.raises(StoreNotMigrated) as raised:
        require_current(empty, SCHEMA, migrations=SAMPLE)
    assert (raised.value.current, raised.value.required) == (1, 2)


def test_an_altered_migration_is_refused_everywhere(empty: Connection[DictRow]) -> None:
    migrate(empty, SCHEMA, migrations=SAMPLE)
    altered = (SAMPLE[0], replace(SAMPLE[1], up="CREATE TABLE {schema}.two (a bigint)"))
    for call in (migrate, rollback, status, require_current):
        with pytest.raises(MigrationAltered) as raised:
            call(empty, SCHEMA, migrations=altered)
        assert raised.value.version == 2


def test_a_newer_store_is_refused(empty: Connection[DictRow]) -> None:
    migrate(empty, SCHEMA, migrations=SAMPLE)
    for call in (migrate, rollback, status, require_current):
        with pytest.raises(StoreTooNew):
            call(empty, SCHEMA, migrations=SAMPLE[:1])


def test_a_step_that_fails_leaves_nothing(empty: Connection[DictRow]) -> None:
    broken = (SAMPLE[0], replace(SAMPLE[1], up="CREATE TABLE {schema}.two (a int); SELECT 1/0"))
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty, SCHEMA, migrations=broken)
    assert [bool(step.applied_at) for step in status(empty, SCHEMA, migrations=broken)] == [
        True,
        False,
    ]
    assert [step.version for step in migrate(empty, SCHEMA, migrations=SAMPLE)] == [2]


def test_the_right_to_create_schemas_is_not_needed_when_it_exists(
    empty_database_url: str, empty: Connection[DictRow]
) -> None:
    role = Identifier("ledger_owner")
    for statement in ("CREATE ROLE {} LOGIN", "CREATE SCHEMA action_ledger AUTHORIZATION {}"):
        empty.execute(SQL(statement).format(role))
    try:
        with psycopg.connect(empty_database_url, user="ledger_owner", autocommit=True) as other:
            migrate(other, SCHEMA)
            require_current(other, SCHEMA)
            rollback(other, SCHEMA, steps=99)
    finally:
        for statement in ("DROP OWNED BY {}", "DROP ROLE {}"):
            empty.execute(SQL(statement).format(role))


RACER = """
import sys, psycopg
from action_ledger.ops.migrations import migrate
with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    connection.execute("INSERT INTO arrived DEFAULT VALUES")
    while connection.execute("SELECT count(*) < 3 FROM arrived").fetchone() == (True,):
        pass
    print(len(migrate(connection, sys.argv[2])))
"""


def test_processes_that_race_make_each_step_once(
    empty_database_url: str, empty: Connection[DictRow]
) -> None:
    """Also where the database's default isolation would hide what the other has just committed."""
    empty.execute("CREATE TABLE arrived (at timestamptz DEFAULT now())")
    empty.execute(
        SQL("ALTER DATABASE {} SET default_transaction_isolation = 'repeatable read'").format(
            Identifier(empty.info.dbname)
        )
    )
    command = [sys.executable, "-c", RACER, empty_database_url, SCHEMA]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    made = [int(racer.communicate(timeout=60)[0]) for racer in racers]
    assert sum(made) == len(read_migrations())
    require_current(empty, SCHEMA)


def test_files_are_numbered_without_gaps_and_come_in_pairs(tmp_path: Path) -> None:
    (tmp_path / "0002_late.up.sql").write_text("SELECT 1")
    (tmp_path / "0002_late.down.sql").write_text("SELECT 1")
    with pytest.raises(ValueError, match="0001"):
        read_migrations(tmp_path)
    (tmp_path / "0001_alone.up.sql").write_text("SELECT 1")
    with pytest.raises(FileNotFoundError, match="0001_alone"):
        read_migrations(tmp_path)


def test_a_checkout_with_other_line_ends_has_the_same_checksum(tmp_path: Path) -> None:
    for line_end in ("\n", "\r\n"):
        directory = tmp_path / str(len(line_end))
        directory.mkdir()
        for way in ("up", "down"):
            (directory / f"0001_a.{way}.sql").write_bytes(f"SELECT 1;{line_end}SELECT 2".encode())
    one, other = (read_migrations(tmp_path / size)[0] for size in ("1", "2"))
    assert one.checksum == other.checksum
