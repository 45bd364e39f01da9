"""Where an export's file is to be, and the directory beside it where its parts wait until it is whole.

The whole file comes to its place by a hard link, which is one step and never replaces anything by chance. The link's
other name stays beside it until the ledger has recorded the file: so whoever goes on after a crash can tell whether
what is at the place is this export's own.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID, uuid4

from action_ledger.domain.errors import ExportExists, ExportFailed, ExportPathRefused

from .steps import reached

BLOCK = 1 << 20
"""Bytes read at a time."""
_WHOLE = "whole-"


def resolve_target(directory: Path, path: str, *, overwrite: bool) -> Path:
    """Give the absolute path of a file that may be written; a relative one is within the directory.

    Raises ExportPathRefused, ExportExists, or ExportFailed where the directory cannot be made.
    """
    given = Path(path)
    with reported(given):
        target = given if given.is_absolute() else _below(directory, given)
        if not target.parent.is_dir():
            raise ExportPathRefused(path=path, detail="its directory is not there")
        try:
            mode = target.lstat().st_mode
        except FileNotFoundError:
            return target
    if not stat.S_ISREG(mode):
        raise ExportPathRefused(path=path, detail="what is there is not an ordinary file")
    if not overwrite:
        raise ExportExists(path=str(target))
    return target


def _below(directory: Path, given: Path) -> Path:
    root = directory.resolve()
    parent = (root / given).parent.resolve()
    if not parent.is_relative_to(root):
        detail = f"a link on the way leads out of {root}"
        raise ExportPathRefused(path=str(given), detail=detail)
    parent.mkdir(parents=True, exist_ok=True)
    return parent / given.name


@contextmanager
def reported(path: Path) -> Generator[None]:
    """Turn the operating system's errors into ExportFailed."""
    try:
        yield
    except OSError as error:
        detail = error.strerror or type(error).__name__
        raise ExportFailed(path=str(path), detail=detail) from error


def digest_of_file(path: Path) -> str:
    """Read a file through, and give its SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Place:
    """The place of one execution's file."""

    def __init__(self, target: Path, execution_id: UUID) -> None:
        self.target = target
        self.staging = target.parent / f".action-ledger-{execution_id}"

    def new_whole(self) -> Path:
        """Name a file that nobody else writes, to be the whole."""
        self.staging.mkdir(mode=0o700, exist_ok=True)
        return self.staging / f"{_WHOLE}{uuid4().hex}"

    def keep_part(self, name: str, chunks: Iterable[bytes | bytearray | memoryview]) -> int:
        """Write a part to the disk, for good; give its size in bytes."""
        with reported(self.target):
            self.staging.mkdir(mode=0o700, exist_ok=True)
            with (self.staging / name).open("xb", buffering=BLOCK) as file:
                for chunk in chunks:
                    file.write(chunk)
                reached("export.part_written")
                file.flush()
                os.fsync(file.fileno())
                size = file.tell()
            _sync(self.staging)
        return size

    def part(self, name: str, size: int) -> Path:
        """Find a part again, of the size that was recorded. Raises ExportFailed."""
        path = self.staging / name
        with suppress(OSError):
            if path.stat().st_size == size:
                return path
        detail = "a part of it is not here: workers on several machines must share its directory"
        raise ExportFailed(path=str(self.target), detail=detail)

    def published(self) -> Path | None:
        """Find the whole that is at its place already, under its other name."""
        with suppress(FileNotFoundError):
            there = self.target.lstat()
            for whole in self.staging.glob(f"{_WHOLE}*"):
                if os.path.samestat(whole.lstat(), there):
                    return whole
        return None

    def publish(self, whole: Path, *, overwrite: bool) -> None:
        """Let the file be at its place, in one step. Raises ExportExists where another is, if that is to stay."""
        if overwrite:
            link = whole.with_name(f"link-{uuid4().hex}")
            link.hardlink_to(whole)
            link.replace(self.target)
        else:
            try:
                self.target.hardlink_to(whole)
            except FileExistsError:
                raise ExportExists(path=str(self.target)) from None
        _sync(self.target.parent)

    def sync(self, whole: Path) -> None:
        """Bring the whole to the disk, name and all."""
        _sync(whole)
        _sync(self.staging)

    def clear(self, *, keep: bool) -> bool:
        """Take away what lies beside the file, and the file too where it is not to be kept.

        False when the directory cannot be seen from here: it is on another machine.
        """
        with reported(self.target):
            if not self.target.parent.is_dir():
                return False
            if not keep and self.published() is not None:
                self.target.unlink()
                _sync(self.target.parent)
            if self.staging.exists():
                shutil.rmtree(self.staging)
        return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
