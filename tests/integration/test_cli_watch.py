"""Whoever watches or works from a script is told that the server does not answer, and when it does again."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import closing
from functools import partial
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from action_ledger.ops import open_ledger
from tests import servers
from tests.command_line import CommandLine
from tests.crash.harness import make_places
from tests.integration.test_cli_processes import PROGRAM
from tests.servers import TestServer
from tests.worker_process import until

pytestmark = pytest.mark.slow

YES = ("--yes", "--by", "user:1")


@pytest.fixture
def own_server() -> Generator[TestServer]:
    """A server that may be stopped without harm to other tests."""
    with servers.running(servers.chosen()[0]) as running:
        yield running


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_an_outage_is_told_on_stderr(own_server: TestServer, form: tuple[str, ...]) -> None:
    with own_server.database() as url, tempfile.TemporaryDirectory() as folder:
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
            make_places(connection, 10)
        with open_ledger(url) as ledger:
            execution = ledger.on("places").all().update(name="x").by("user:1").submit()
        told = Path(folder, "stderr")
        with told.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, "watch", str(execution.id), *form],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
                env=CommandLine(url).process_environment(),
            )  # fmt: skip
        try:
            with psycopg.connect(url, autocommit=True, row_factory=dict_row) as looking:
                until(partial(_watched, looking), "the watching")
            own_server.server.stop()
            until(lambda: "does not answer" in told.read_text(), "word of the outage")
            own_server.server.start()
            until(lambda: "answers again" in told.read_text(), "word of its end")
            with open_ledger(url) as ledger:
                ledger.execution(execution.id).cancel(by="user:1")
            assert process.wait(30) == 1
        finally:
            process.kill()
            process.wait()
        lines = told.read_text().splitlines()
        assert len(lines) == 2
        if form:
            assert [json.loads(line)["code"] for line in lines] == ["no_answer", "answers_again"]


@pytest.mark.parametrize(("command", "form"), [("run", ()), ("undo", ("--json",))])
def test_work_in_this_process_tells_of_an_outage_as_watch_does(
    own_server: TestServer, command: str, form: tuple[str, ...]
) -> None:
    run = ("run", "places", "update", "--all", "--set", "name=y", "--batch-size", "1", *YES)
    asked = {"run": (*run, "--rate", "20"), "undo": ("undo", "last", *YES)}[command]
    with own_server.database() as url, tempfile.TemporaryDirectory() as folder:
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
            make_places(connection, 60)
        cli = CommandLine(url)
        with closing(psycopg.connect(url)) as outsider, Path(folder, "stderr").open("w+") as told:
            if command == "undo":  # it has no rate: an outsider holds it up until the server goes
                assert cli(*run).code == 0
                outsider.execute("SELECT FROM places WHERE id = 30 FOR UPDATE")
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *asked, *form],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=told,
                env=cli.process_environment(),
            )  # fmt: skip
            said = Path(folder, "stderr").read_text
            try:
                with psycopg.connect(url, autocommit=True, row_factory=dict_row) as looking:
                    until(partial(_looked_on, looking), "a look beside the work")
                own_server.server.stop()
                until(lambda: "does not answer" in said(), "word of the outage")
                own_server.server.start()
                until(lambda: "answers again" in said(), "word of its end")
                assert process.wait(90) == 0
            finally:
                process.kill()
                process.wait()
            lines = said().splitlines()
            assert len(lines) == 2
            if form:
                assert [json.loads(line)["code"] for line in lines] == [
                    "no_answer", "answers_again",
                ]  # fmt: skip


def _looked_on(connection: Connection[DictRow]) -> bool:
    row = connection.execute(
        "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'action-ledger run %'"
        " AND query_start > backend_start + interval '0.9 second'"
    ).fetchone()
    return bool(row and row["n"])


def _watched(connection: Connection[DictRow]) -> bool:
    """Say whether somebody looks again and again: a second after a session began, it still asks."""
    row = connection.execute(
        "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND query_start > backend_start + interval '1 second'"
    ).fetchone()
    return bool(row and row["n"])
