"""What an undo's request said that events must not hold: it is kept apart, and read again for each batch."""

from pydantic import BaseModel, ConfigDict


class UndoBody(BaseModel):
    """Which batches, whether by keys, which columns, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str | None
    batches: tuple[int, ...] | None
    by_keys: bool
    columns: tuple[str, ...] | None = None
    fingerprint: str
    """Of the command: when it is sent again, it must be the same."""
