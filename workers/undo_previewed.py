"""What the preview of an undo tells."""

from datetime import datetime
from uuid import UUID

from action_ledger.domain.event import Tally

from .in_the_way import Held
from .previewed import Note
from .trial import Difference, Failure, Model


class Conflict(Model):
    """A record that somebody changed since, with what was recorded and what is there now, by column."""

    key: tuple[str, ...]
    reason: str
    table: str | None
    """The table of a row that had gone along through a foreign key; None for a record of the execution's own."""
    recorded: dict[str, str | None] | None
    current: dict[str, str | None] | None


class OfColumn(Model):
    """What becomes of one column of records that were changed where they are."""

    restored: int
    changed_since: int
    """Records in conflict in which somebody changed it."""


class UndoPreview(Model):
    """What an undo would do, as it stood when somebody looked. Values are PostgreSQL's text of them."""

    execution_id: UUID
    of_undo: UUID | None
    action: str
    table: str
    policy: str
    only_columns: tuple[str, ...] | None
    count: int
    """Records that still stand, and would be looked at."""
    batches: int
    tried: int
    """So many of them were taken back, and the taking back was rolled back."""
    exact: bool
    """Whether that were all: then an undo comes to the same numbers, unless something changes in between."""
    conflicts_in_all: int | None
    """Where not all were tried, how many of all of them somebody changed since, rows that had gone along among them."""
    tally: Tally
    left: dict[str, int]
    """Records that would not come back, or not as a whole, by reason; those that the database refuses are not in it."""
    sqlstates: dict[str, int]
    columns: dict[str, OfColumn]
    children: dict[str, Tally]
    """By table, what would become of rows that had gone along through foreign keys."""
    reached: dict[str, int]
    """By table, how many rows would go or change along."""
    excepted: tuple[str, ...]
    """Columns that would not come back bit for bit, since a trigger writes them."""
    conflicts: tuple[Conflict, ...]
    failures: tuple[Failure, ...]
    changes: tuple[Difference, ...]
    """The first records, as they are now (``before``) and as they would be (``after``)."""
    held: Held | None
    expected_seconds: float | None
    """Of the whole undo by one worker, at the pace of what was tried; None where nothing was."""
    undo_until: datetime | None
    """Until when it can be asked for."""
    notes: tuple[Note, ...]
