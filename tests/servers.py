"""The PostgreSQL servers that the tests run on, and a fresh database for each test.

The newest comes with the embedded wheel. The oldest that is supported stands for the servers without
`RETURNING old.*, new.*`: PostgreSQL 15 of the system, or where there is none, 16 of the wheel.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from action_ledger.ops import embedded, migrations
from action_ledger.ops.embedded_server import Server

SCHEMA = "action_ledger"
TEMPLATE = "action_ledger_template"
CHOICE = "ACTION_LEDGER_TEST_POSTGRES"

# Nothing here has to survive, so nothing is flushed. Each worker of pytest has servers of its own.
SETTINGS = {
    "autovacuum_naptime": "5s",
    "fsync": "off",
    "full_page_writes": "off",
    "jit": "off",
    "log_min_duration_statement": "-1",
    "max_connections": "60",
    "max_wal_size": "2GB",
    "shared_buffers": "128MB",
    "synchronous_commit": "off",
    "timezone": "UTC",
}
# For those that nobody crashes: what a test's database is copied from is not logged, and old logs are not kept.
UNLOGGED = {"max_wal_senders": "0", "max_wal_size": "512MB", "wal_level": "minimal"}
MEMORY = Path("/dev/shm")  # noqa: S108 - Linux's file system in memory
ROOM = 6 << 30
"""Bytes that must be free in it: the servers of two processes of pytest use less than a third."""


@dataclass(frozen=True, slots=True)
class TestServer:
    """A running server of one version, with a migrated template database."""

    __test__ = False

    version: int
    server: Server
    _numbers: "count[int]" = field(default_factory=count)

    def __str__(self) -> str:
        return f"PostgreSQL {self.version}"

    @property
    def programs(self) -> Path:
        """Where `pg_dump` and `psql` of this version are."""
        return self.server.programs

    @property
    def admin_url(self) -> str:
        """The database that every server has: to create others, and roles."""
        return self.server.url()

    @contextmanager
    def database(self, *, migrated: bool = True) -> Generator[str]:
        """Make a database, give its URL, and drop it with the sessions that still use it."""
        name = f"test_{next(self._numbers)}"
        template = TEMPLATE if migrated else "template1"
        self._execute("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", name, template)
        try:
            yield self.server.url(name)
        finally:
            self._execute("DROP DATABASE {} WITH (FORCE)", name)

    def make_template(self) -> None:
        """Make the database that every test's own is copied from."""
        self._execute("CREATE DATABASE {}", TEMPLATE)
        with psycopg.connect(self.server.url(TEMPLATE), autocommit=True) as connection:
            migrations.migrate(connection, SCHEMA)

    def _execute(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            text = SQL(statement)  # pyright: ignore[reportArgumentType]
            connection.execute(text.format(*map(Identifier, names)))


def found() -> dict[int, Path]:
    """Find the programs of each version on this machine."""
    newest = embedded.programs()
    versions = {18: newest, 16: newest.parents[1] / "pginstall" / "bin"}
    for place in Path("/usr/lib/postgresql").glob("*/bin"):  # Debian and Ubuntu
        versions.setdefault(int(place.parent.name), place)
    if elsewhere := shutil.which("postgres"):
        said = subprocess.run([elsewhere, "--version"], check=True, capture_output=True, text=True)
        version = int(said.stdout.split()[2].split(".")[0])
        versions.setdefault(version, Path(elsewhere).resolve().parent)
    return {version: place for version, place in versions.items() if (place / "postgres").exists()}


def chosen() -> list[int]:
    """List the versions to test, the fast path's first: the newest and the oldest unless told otherwise."""
    told = os.environ.get(CHOICE)
    if told:
        return [int(version) for version in told.split(",")]
    return [18, 15 if 15 in found() else 16]


def in_memory() -> Path | None:
    """Give where files lie in memory, if there is such a place with enough room.

    A database is some 300 files. To make them takes 20 ms there, and up to a second on a disk that others flush.
    """
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
        return MEMORY
    return None


@contextmanager
def running(version: int, place: Path | None = None, /, **settings: str) -> Generator[TestServer]:
    """Run a server of one version in a temporary directory, with other settings than the usual ones if told.

    ``place`` is where that directory is made, if not where temporary files go.

    Raises:
        LookupError: It is not on this machine.
    """
    try:
        programs = found()[version]
    except KeyError:
        message = (
            f"PostgreSQL {version} is not on this machine. Install it, or set {CHOICE} to the versions "
            f"to test (here are {', '.join(map(str, sorted(found())))})."
        )
        raise LookupError(message) from None
    directory = Path(tempfile.mkdtemp(prefix=f"action-ledger-test-{version}-", dir=place))
    options = embedded.INIT_OPTIONS if version >= 17 else ("--locale=C.UTF-8",)
    server = Server(programs, directory / "data", {**SETTINGS, **settings}, ("--no-sync", *options))
    try:
        server.start()
        test_server = TestServer(version, server)
        test_server.make_template()
        yield test_server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)
