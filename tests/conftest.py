"""Fixtures that every test may use: a server, and a migrated database of its own on it."""

import os
from collections.abc import Generator
from contextlib import ExitStack

import pytest
from hypothesis import settings
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from tests import servers
from tests.servers import TestServer

# The same examples in every run, so that a test that fails now fails for what was changed; others when asked for.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("thorough", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


class Running:
    """The servers of this session, each started when the first test asks for it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._servers: dict[int, TestServer] = {}

    def __getitem__(self, version: int) -> TestServer:
        if version not in self._servers:
            self._servers[version] = self._stack.enter_context(
                servers.running(version, servers.in_memory(), **servers.UNLOGGED)
            )
        return self._servers[version]


def pytest_report_header() -> list[str]:
    versions = servers.chosen()
    lines = [f"PostgreSQL: {versions[0]}, and for tests marked every_postgres: {versions}"]
    if 15 not in servers.found():
        lines.append("WARNING: PostgreSQL 15 is not on this machine, the oldest that is supported")
    return lines


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run on the newest server, or on each when the test is marked `every_postgres`."""
    if "server" in metafunc.fixturenames:
        versions = servers.chosen()
        if metafunc.definition.get_closest_marker("every_postgres") is None:
            versions = versions[:1]
        ids = [f"pg{version}" for version in versions]
        metafunc.parametrize("server", versions, ids=ids, indirect=True, scope="session")


@pytest.fixture(scope="session")
def running_servers() -> Generator[Running]:
    with ExitStack() as stack:
        yield Running(stack)


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, running_servers: Running) -> TestServer:
    """The server of the test; a version that is missing fails the test, it does not skip it."""
    try:
        return running_servers[request.param]
    except LookupError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def database_url(server: TestServer) -> Generator[str]:
    """A migrated database, dropped at the end of the test."""
    with server.database() as url:
        yield url


@pytest.fixture
def empty_database_url(server: TestServer) -> Generator[str]:
    """A database without the ledger's schema, dropped at the end of the test."""
    with server.database(migrated=False) as url:
        yield url


@pytest.fixture
def connection(database_url: str) -> Generator[Connection[DictRow]]:
    """A connection to the test's database in autocommit mode, for looking and for outsiders' writes."""
    with Connection[DictRow].connect(database_url, autocommit=True, row_factory=dict_row) as opened:
        yield opened
