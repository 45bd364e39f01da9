"""The settings of the ledger: `ACTION_LEDGER_*` variables, or arguments of the same names."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """Each field is read from the variable of its name, `ACTION_LEDGER_BATCH_SIZE` for `batch_size`.

    A variable that is set but empty counts as not set.
    """

    model_config = SettingsConfigDict(
        env_prefix="ACTION_LEDGER_",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        validate_by_name=True,
        validate_by_alias=True,
    )

    database_url: SecretStr | None = None
    """The server to use; without it the embedded one starts."""

    data_dir: Path = Path(".action-ledger")
    """Where the embedded server keeps its data, relative to the working directory."""

    db_schema: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")] = "action_ledger"
    """The schema that holds the ledger's tables. Plain lower case, so that no tool needs to quote it."""

    search_path: Annotated[str, Field(min_length=1)] = '"$user", public'
    """Where a table that is named without a schema is looked for."""

    batch_size: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    """Records of one batch, if the command does not say."""

    undo_expiry_days: Annotated[int, Field(ge=1, le=90)] = 7
    """How long an execution can be undone, if the command does not say."""

    queue: Annotated[str, Field(min_length=1, validation_alias="ACTION_LEDGER_QUEUE_NAME")] = (
        "default"
    )
    """The queue that work goes to, if the command does not say."""

    lease_seconds: Seconds = 10
    """How long a worker may be silent before another takes its work over."""

    append_lock_timeout_ms: Annotated[int, Field(ge=1)] = 10_000
    """How long a writer waits for its turn to append before it rolls back and tries again."""

    pool_min_size: Annotated[int, Field(ge=0)] = 1
    """How many connections a process keeps open."""

    pool_max_size: Annotated[int, Field(ge=1)] = 10
    """How many it opens at most; one for each worker in it, and one for what else it is asked."""

    pool_timeout_seconds: Seconds = 30
    """How long a caller waits for a free connection, or for a server that went away to answer again."""

    prepare_threshold: Annotated[int, Field(ge=0)] | None = None
    """After how many runs a statement is prepared. None leaves it to the connection: a direct one prepares, one
    through a pooler (PgBouncer in transaction mode) never does."""
