"""One PostgreSQL server in a directory: made, started, asked after and stopped with PostgreSQL's own programs.

It listens on a Unix socket only, in a directory that only its owner may enter. PostgreSQL refuses to run as
root: for root it runs as another user, which owns its directory and may pass through the ones above it.
"""

import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import psycopg

from action_ledger.domain.errors import EmbeddedUnavailable

SUPERUSER = "postgres"
SYSTEM_USER = "pgserver"
SOCKET_PATH_LIMIT = 100  # a socket's path has 104 to 108 bytes, by platform
START_SECONDS = 120  # after a crash the server repeats its log first
LOG_LIMIT = 8 * 1024 * 1024
NOBODY = 2**31 - 1  # no system numbers its processes so high
PASS = 0o011  # others may go through a directory, not read it


class Account(NamedTuple):
    """The user that the server runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Server:
    """A server's programs, its directory and its settings (written anew at each start)."""

    programs: Path
    data: Path
    settings: Mapping[str, str]
    init_options: Sequence[str] = ()

    def url(self, database: str = "postgres") -> str:
        """Tell how to connect; the server must run."""
        return f"postgresql://{SUPERUSER}@/{quote(database)}?host={quote(str(self._socket_directory()), safe='')}"

    def start(self) -> None:
        """Make the directory if it is missing, and start the server unless it runs.

        Only one process may do this at a time. A process that was killed half way leaves nothing that
        would be in the way.
        """
        account = self._account()
        if not (self.data / "PG_VERSION").exists():
            self._init(account)
        self._require_version()
        if self._joins():
            return
        self._configure(account)
        started = self._run("pg_ctl", ["start", "-w", "-t", str(START_SECONDS), "-l", "server.log"])
        if started.returncode != 0:
            log = self.data / "server.log"
            tail = _last_lines(log.read_text(errors="replace") if log.exists() else "")
            raise EmbeddedUnavailable(
                reason=f"it does not start: {_last_lines(started.stdout)} {tail}"
            )

    def stop(self) -> None:
        """Stop the server, ending its sessions; nothing that was committed is lost."""
        sockets = self._socket_directory()
        self._run("pg_ctl", ["stop", "-w", "-m", "fast"])
        if sockets != self.data:
            shutil.rmtree(sockets, ignore_errors=True)

    def answers(self) -> bool:
        """Whether the server of this directory accepts connections."""
        if not (self.data / "postmaster.pid").exists():
            return False
        try:
            psycopg.connect(self.url(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _joins(self) -> bool:
        """Wait for a server that is on its way up, and say whether there is one."""
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            pid = self._postmaster()
            if pid is None:
                return False
            if not _is_postgres(pid):
                for lock in ("postmaster.pid", ".s.PGSQL.5432.lock"):
                    _disown(self.data / lock)
                return False
            if time.monotonic() > deadline:
                raise EmbeddedUnavailable(
                    reason=f"process {pid} holds {self.data} and does not answer"
                )
            time.sleep(0.05)
        return True

    def _init(self, account: Account) -> None:
        # Elsewhere first, then renamed: a directory that exists is complete.
        unfinished = self.data.with_name(self.data.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True, mode=0o700)
        os.chown(unfinished, *account)
        if os.geteuid() == 0:
            _let_through(unfinished)
            _let_through(self.programs / "initdb")
        options = [
            f"--username={SUPERUSER}",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-instructions",
        ]
        made = Server(self.programs, unfinished, {})._run("initdb", [*options, *self.init_options])  # noqa: SLF001
        if made.returncode != 0:
            raise EmbeddedUnavailable(reason=f"initdb failed: {_last_lines(made.stdout)}")
        with (unfinished / "postgresql.conf").open("a") as configuration:
            configuration.write("\ninclude = 'action_ledger.conf'\n")
        unfinished.rename(self.data)

    def _configure(self, account: Account) -> None:
        sockets = self.data
        if len(os.fsencode(sockets / ".s.PGSQL.5432")) > SOCKET_PATH_LIMIT:
            sockets = Path(tempfile.mkdtemp(prefix="action-ledger-", dir=_short_directory()))
            os.chown(sockets, *account)
        fixed = {
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_directories": '"{}"'.format(str(sockets).replace('"', '""')),
            "unix_socket_permissions": "0700",
        }
        lines = [
            "{} = '{}'\n".format(name, value.replace("\\", "\\\\").replace("'", "''"))
            for name, value in {**self.settings, **fixed}.items()
        ]
        target = self.data / "action_ledger.conf"
        target.write_text("# Written at each start.\n" + "".join(lines))
        os.chown(target, *account)
        log = self.data / "server.log"
        if log.exists() and log.stat().st_size > LOG_LIMIT:
            os.truncate(log, 0)

    def _run(self, program: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a program of PostgreSQL as the server's user; its output, errors included, is `stdout`."""
        # PGDATA instead of -D: pg_ctl hands its -D to a shell. No other PG variable may have a say.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        environment |= {"PGDATA": str(self.data), "LC_ALL": "C"}
        account = self._account() if os.geteuid() == 0 else None
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            # A file, since a pipe would stay open in the server and never end.
            try:
                done = subprocess.run(  # noqa: S603
                    [self.programs / program, *arguments],
                    check=False,
                    cwd=self.data,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    text=True,
                    user=account.uid if account else None,
                    group=account.gid if account else None,
                    extra_groups=[] if account else None,
                )
            except OSError as error:
                raise EmbeddedUnavailable(reason=f"{program} cannot run: {error}") from error
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read(), "")

    def _account(self) -> Account:
        if os.geteuid() != 0:
            return Account(os.geteuid(), os.getegid())
        if self.data.exists() and (owner := self.data.stat()).st_uid != 0:
            return Account(owner.st_uid, owner.st_gid)
        try:
            user = pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            _add_user()
            user = pwd.getpwnam(SYSTEM_USER)
        return Account(user.pw_uid, user.pw_gid)

    def _require_version(self) -> None:
        made_by = (self.data / "PG_VERSION").read_text().strip()
        runs = self._run("postgres", ["--version"]).stdout.split()
        if not runs or runs[-1].split(".")[0] != made_by:
            reason = f"{self.data} was made by PostgreSQL {made_by}, and this is {' '.join(runs)}"
            raise EmbeddedUnavailable(reason=reason)

    def _postmaster(self) -> int | None:
        with suppress(OSError, ValueError, IndexError):
            return int((self.data / "postmaster.pid").read_text().split()[0])
        return None

    def _socket_directory(self) -> Path:
        with suppress(OSError, IndexError):
            line = (self.data / "postmaster.pid").read_text().splitlines()[4]
            if line:
                return Path(line)
        return self.data


def _is_postgres(pid: int) -> bool:
    """Whether a process is a living PostgreSQL server."""
    command = ["ps", "-p", str(pid), "-o", "stat=,comm="]
    process = Path("/proc") / str(pid) / "stat"
    try:
        if Path("/proc/self/stat").exists():
            _, name, state = re.split(r"[()]", process.read_text(), maxsplit=2)
        else:
            seen = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
            state, name = seen.stdout.split(maxsplit=1)
    except (OSError, ValueError):
        return False
    return "postgres" in name and not state.strip().startswith("Z")


def _disown(lock: Path) -> None:
    """Let a lock file name a process that cannot be.

    Its number was given to another program, as happens after a restart of a container, or nobody has asked
    yet how it ended. PostgreSQL would take that one for its server and refuse to start. The rest of the file
    stays: by it PostgreSQL finds out whether a process of the old server still uses its memory.
    """
    with suppress(FileNotFoundError):
        _, _, rest = lock.read_text().partition("\n")
        lock.write_text(f"{NOBODY}\n{rest}")


def _let_through(path: Path) -> None:
    """Let the server's user pass through the directories above; it can list none of them."""
    for directory in path.resolve().parents:
        mode = directory.stat().st_mode
        if mode & PASS != PASS:
            try:
                directory.chmod(mode | PASS)
            except OSError as error:
                reason = f"the user {SYSTEM_USER} cannot pass through {directory} ({error})"
                raise EmbeddedUnavailable(reason=reason) from error


def _add_user() -> None:
    # Root's PATH has the programs of the system where a login shell made it, and not everywhere else.
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    program = shutil.which("useradd", path=places) or "useradd"
    command = [program, "--system", "--no-create-home", "--shell", "/bin/false", SYSTEM_USER]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
        said = _last_lines(done.stderr)
    except OSError as error:
        said = str(error)
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        reason = (
            f"PostgreSQL does not run as root, and a user {SYSTEM_USER} cannot be made ({said})"
        )
        raise EmbeddedUnavailable(reason=reason, remedy="Run it as another user") from None


def _short_directory() -> str:
    directory = tempfile.gettempdir()
    return directory if len(os.fsencode(directory)) < SOCKET_PATH_LIMIT // 2 else "/tmp"  # noqa: S108


def _last_lines(text: str) -> str:
    return " ".join(line.strip() for line in text.strip().splitlines()[-4:])
