"""The migrations of the ledger's schema: numbered SQL files beside this one, applied under a lock.

`NNNN_name.up.sql` makes a step and `NNNN_name.down.sql` takes it back. They write `{schema}` for the schema,
`{schema_text}` for its name as a text (braces of their own are doubled) and run with an empty `search_path`, each in one transaction. What was
applied is kept in `schema_migrations` with a checksum, so an altered file is noticed.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from psycopg import Connection, Cursor
from psycopg.rows import dict_row
from psycopg.sql import SQL, Composed, Identifier, Literal

from action_ledger.domain.errors import MigrationAltered, StoreNotMigrated, StoreTooNew

from .translation import rights_named

_FILE_NAME = re.compile(r"(?P<version>\d{4})_(?P<name>\w+)\.up\.sql")

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('action_ledger.migrations:' || %s, 0))"
_EXISTS = "SELECT to_regnamespace(%(schema)s) IS NOT NULL AS has_schema, to_regclass(%(table)s) IS NOT NULL AS has_table"
_CREATE_TABLE = SQL("""
    CREATE TABLE {schema}.schema_migrations (
        version integer PRIMARY KEY,
        name text NOT NULL,
        checksum text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )""")
# The time as text of one form: the driver cannot read that of every DateStyle.
_READ = SQL(
    "SELECT version, name, checksum, to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00:00')"
    " AS applied_at FROM {schema}.schema_migrations ORDER BY version"
)
_RECORD = SQL(
    "INSERT INTO {schema}.schema_migrations (version, name, checksum) VALUES (%s, %s, %s)"
)
_FORGET = SQL("DELETE FROM {schema}.schema_migrations WHERE version = %s")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: its number, its name and the SQL of both directions."""

    version: int
    name: str
    up: str
    down: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the way up, whatever the line ends of a checkout are."""
        return hashlib.sha256(self.up.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class MigrationState:
    """A migration that this release knows, and when it was applied."""

    version: int
    name: str
    applied_at: datetime | None


def read_migrations(directory: Traversable | None = None) -> tuple[Migration, ...]:
    """Read the files of a directory (this package's own by default), in the order of their numbers."""
    directory = files("action_ledger.ops") if directory is None else directory
    found: list[Migration] = []
    for entry in sorted(directory.iterdir(), key=lambda entry: entry.name):
        if match := _FILE_NAME.fullmatch(entry.name):
            down = directory / entry.name.replace(".up.sql", ".down.sql")
            found.append(
                Migration(int(match["version"]), match["name"], _text(entry), _text(down)),
            )
    if [step.version for step in found] != list(range(1, len(found) + 1)):
        message = f"migrations are numbered from 0001 without gaps, found {[step.version for step in found]}"
        raise ValueError(message)
    return tuple(found)


def migrate(
    connection: Connection[Any],
    schema: str,
    to: int | None = None,
    *,
    migrations: Sequence[Migration] | None = None,
) -> list[Migration]:
    """Apply what is missing, up to version `to`, and return it. Several processes may do so at once.

    Raises:
        StoreTooNew: The schema was migrated by a newer release.
        MigrationAltered: A file differs from what was applied.
        PermissionDenied: The login may not make or change the schema.
    """
    known = read_migrations() if migrations is None else migrations
    applied: list[Migration] = []
    info = connection.info
    needed = f"GRANT CREATE ON DATABASE {info.dbname} TO {info.user}, or to own the schema {schema} that is there"
    while True:
        with (
            rights_named(needed),
            connection.transaction(),
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            _begin(cursor, schema)
            _prepare(cursor, schema)
            done = _check(schema, known, _applied(cursor, schema))
            if done >= (len(known) if to is None else min(to, len(known))):
                return applied
            step = known[done]
            cursor.execute(_composed(step.up, schema))
            cursor.execute(_in(_RECORD, schema), (step.version, step.name, step.checksum))
        applied.append(step)


def rollback(
    connection: Connection[Any],
    schema: str,
    steps: int = 1,
    *,
    migrations: Sequence[Migration] | None = None,
) -> list[Migration]:
    """Take back the newest `steps` migrations, with all data that their tables hold, and return them."""
    known = read_migrations() if migrations is None else migrations
    undone: list[Migration] = []
    while len(undone) < steps:
        with (
            rights_named(f"to own the schema {schema} and all in it"),
            connection.transaction(),
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            _begin(cursor, schema)
            done = _check(schema, known, _applied(cursor, schema))
            if done == 0:
                break
            step = known[done - 1]
            cursor.execute(_composed(step.down, schema))
            cursor.execute(_in(_FORGET, schema), (step.version,))
        undone.append(step)
    return undone


def status(
    connection: Connection[Any], schema: str, *, migrations: Sequence[Migration] | None = None
) -> list[MigrationState]:
    """List every migration of this release with the time it was applied, None if it was not."""
    known = read_migrations() if migrations is None else migrations
    with connection.cursor(row_factory=dict_row) as cursor:
        applied = _applied(cursor, schema)
    _check(schema, known, applied)
    times = {row["version"]: datetime.fromisoformat(row["applied_at"]) for row in applied}
    return [MigrationState(step.version, step.name, times.get(step.version)) for step in known]


def require_current(
    connection: Connection[Any], schema: str, *, migrations: Sequence[Migration] | None = None
) -> None:
    """Make sure that the schema is what this release works on.

    Raises:
        StoreNotMigrated: Some migration is missing, or all are.
        StoreTooNew: The schema was migrated by a newer release.
        MigrationAltered: A file differs from what was applied.
        PermissionDenied: The login may not look into the schema.
    """
    known = read_migrations() if migrations is None else migrations
    needed = f"GRANT USAGE ON SCHEMA {schema} TO {connection.info.user}, and rights on its tables"
    with rights_named(needed), connection.cursor(row_factory=dict_row) as cursor:
        done = _check(schema, known, _applied(cursor, schema))
    if done < len(known):
        raise StoreNotMigrated(schema=schema, current=done, required=len(known))


def _begin(cursor: Cursor[dict[str, Any]], schema: str) -> None:
    # READ COMMITTED: what is read after the lock must be what the last holder committed.
    cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
    cursor.execute("SET LOCAL standard_conforming_strings = on")
    cursor.execute(_LOCK, (schema,))
    cursor.execute("SET LOCAL search_path = ''")


def _prepare(cursor: Cursor[dict[str, Any]], schema: str) -> None:
    """Make the schema and the register, where they are missing.

    Asked for first: CREATE SCHEMA IF NOT EXISTS wants the right to create one even where it exists.
    """
    has_schema, has_table = _exists(cursor, schema)
    if not has_schema:
        cursor.execute(_in(SQL("CREATE SCHEMA {schema}"), schema))
    if not has_table:
        cursor.execute(_in(_CREATE_TABLE, schema))


def _exists(cursor: Cursor[dict[str, Any]], schema: str) -> tuple[bool, bool]:
    quoted = _in(SQL("{schema}"), schema).as_string(cursor)
    row = cursor.execute(
        _EXISTS, {"schema": quoted, "table": f"{quoted}.schema_migrations"}
    ).fetchone()
    return (row["has_schema"], row["has_table"]) if row else (False, False)


def _applied(cursor: Cursor[dict[str, Any]], schema: str) -> list[dict[str, Any]]:
    _, has_table = _exists(cursor, schema)
    return cursor.execute(_in(_READ, schema)).fetchall() if has_table else []


def _check(schema: str, known: Sequence[Migration], applied: list[dict[str, Any]]) -> int:
    """Compare what was applied with what is known, and give the schema's version."""
    current: int = max((row["version"] for row in applied), default=0)
    if current > len(known):
        raise StoreTooNew(schema=schema, current=current, required=len(known))
    for row in applied:
        version: int = row["version"]
        if known[version - 1].checksum != row["checksum"]:
            raise MigrationAltered(schema=schema, version=version)
    return current


def _in(statement: SQL, schema: str) -> Composed:
    return statement.format(schema=Identifier(schema), schema_text=Literal(schema))


def _composed(text: str, schema: str) -> Composed:
    # The text is a file of this package, never a caller's; pyright would have it literal in the source.
    return _in(SQL(text), schema)  # pyright: ignore[reportArgumentType]


def _text(entry: Traversable) -> str:
    return entry.read_text(encoding="utf-8").replace("\r\n", "\n")
