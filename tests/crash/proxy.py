"""A proxy before PostgreSQL that loses the answer to a COMMIT, or the COMMIT itself, or makes it late.

It speaks just enough of the protocol to see where a message ends. It listens on a Unix socket, as the server.
"""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from tests.faults import injected

SOCKET = ".s.PGSQL.5432"
LATE_SECONDS = 0.15


class Fate(StrEnum):
    """What becomes of a COMMIT."""

    ANSWERED = "answered"
    ANSWER_LOST = "answer lost"
    """The server commits; the client hears that the connection is gone."""
    LOST = "lost"
    """The server never hears of it, and sees the connection go."""
    LATE = "late"
    """The client's connection goes at once; the server gets the COMMIT a while later."""


class Proxy:
    """Listens in a directory, forwards to the server's socket, and deals with COMMITs as it is told."""

    def __init__(self, directory: Path, server: Path) -> None:
        self._server = server
        self._fates: list[Fate] = []
        self._closing = False
        self._threads: list[threading.Thread] = []
        self.commits = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / SOCKET))
        self._listener.listen(32)
        self._start(self._accept)

    def will(self, *fates: Fate) -> None:
        """Say what becomes of the next COMMITs, one after the other; all after them are answered."""
        self._fates = list(fates)
        self.commits = 0

    @property
    def struck(self) -> bool:
        """Whether everything that was to happen has happened."""
        return not self._fates

    def close(self) -> None:
        """Listen no more."""
        self._closing = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server / SOCKET))
            self._start(self._to_server, client, server)
            self._start(self._to_client, server, client)

    def _to_client(self, server: socket.socket, client: socket.socket) -> None:
        with server, suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        started = False
        waiting = b""
        with client, suppress(OSError):
            while data := client.recv(65536):
                waiting += data
                forward = b""
                while message := _first(waiting, started=started):
                    started = True
                    waiting = waiting[len(message) :]
                    forward += message
                    if _is_commit(message) and self._strike(forward, client, server):
                        return
                server.sendall(forward)
            server.shutdown(socket.SHUT_RDWR)

    def _strike(self, forward: bytes, client: socket.socket, server: socket.socket) -> bool:
        """Deal with a COMMIT; say whether the connection is done with."""
        self.commits += 1
        fate = self._fates.pop(0) if self._fates else Fate.ANSWERED
        injected(5, fate is not Fate.ANSWERED)
        match fate:
            case Fate.ANSWERED:
                return False
            case Fate.ANSWER_LOST:
                client.shutdown(socket.SHUT_RDWR)
                server.sendall(forward)
                server.shutdown(socket.SHUT_WR)
            case Fate.LOST:
                client.shutdown(socket.SHUT_RDWR)
                server.shutdown(socket.SHUT_RDWR)
            case Fate.LATE:
                client.shutdown(socket.SHUT_RDWR)
                threading.Event().wait(LATE_SECONDS)
                server.sendall(forward)
                server.shutdown(socket.SHUT_WR)
        return True


def _first(data: bytes, *, started: bool) -> bytes:
    """Give the first message if it is all there; the very first one has no letter before its length."""
    head = 5 if started else 4
    if len(data) < head:
        return b""
    length = int.from_bytes(data[head - 4 : head]) + head - 4
    return data[:length] if len(data) >= length else b""


def _is_commit(message: bytes) -> bool:
    """A simple query, or the preparation of one, as psycopg sends it."""
    return message[:1] in (b"Q", b"P") and b"COMMIT\0" in message


@contextmanager
def proxied(url: str, directory: Path) -> Generator[tuple[Proxy, str]]:
    """Put a proxy before the server of a URL; gives it and the URL that leads through it."""
    parts = urlsplit(url)
    (server,) = parse_qs(parts.query)["host"]
    proxy = Proxy(directory, Path(server))
    try:
        yield proxy, parts._replace(query=f"host={quote(str(directory), safe='')}").geturl()
    finally:
        proxy.close()
