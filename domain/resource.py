"""A resource: a table that actions run on, with its conventions.

Nobody has to register one. Where none is given, the conventions are read off the columns: ``deleted_at`` marks
a soft delete, ``archived_at`` an archived record, ``archive_reason`` holds the reason.
"""

from pydantic import BaseModel, ConfigDict, Field


class Resource(BaseModel):
    """A table by name, and the columns that carry its conventions; None leaves it to the catalog.

    A mark column is a timestamp or a date (set to the time of the change) or a boolean (set to true).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(min_length=1)
    soft_delete: str | None = None
    archive: str | None = None
    archive_reason: str | None = None


DEFAULT_SOFT_DELETE = "deleted_at"
DEFAULT_ARCHIVE = "archived_at"
DEFAULT_ARCHIVE_REASON = "archive_reason"
