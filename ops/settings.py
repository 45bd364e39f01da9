"""The settings of the ledger: `ACTION_LEDGER_*` variables, or arguments of the same names."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from action_ledger.domain.confirmation import STRICTNESS, Asked, ConfirmationPolicy
from action_ledger.domain.context import AllowedContexts, RoleName, SettingPattern
from action_ledger.domain.limits import AllLimits, Limits
from action_ledger.domain.pace import Adaptive
from action_ledger.workers.previewed import PreviewLimits

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

    batch_target_seconds: Annotated[float, Field(gt=0, le=3_600)] = 2
    """How long a batch should take: one that would take more than twice as long is split before it is worked on."""

    batch_min_size: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Records of a batch, at least, that is made smaller for the time it takes."""

    batch_max_size: Annotated[int, Field(ge=1, le=100_000)] = 50_000
    """Records of a batch, at most, whose size follows the time it takes."""

    undo_expiry_days: Annotated[int, Field(ge=1, le=90)] = 7
    """How long an execution can be undone, if the command does not say."""

    queue: Annotated[str, Field(min_length=1, validation_alias="ACTION_LEDGER_QUEUE_NAME")] = (
        "default"
    )
    """The queue that work goes to, if the command does not say."""

    lease_seconds: Seconds = 10
    """How long a worker may be silent before another takes its work over."""

    batch_timeout_seconds: Annotated[float, Field(ge=0)] = 300
    """How long a statement of a batch may take before the server ends it; 0 leaves that to the server."""

    poll_seconds: Seconds = 5
    """How often an idle worker looks for work that nobody told it of."""

    listen: bool = True
    """Whether workers LISTEN for new work. Behind a pooler in transaction mode they find out that they cannot."""
    schedule_max_days_ahead: Annotated[int, Field(ge=1, le=36_500)] = 365
    """How far ahead a schedule's one time may lie; 36500 at most."""

    schedule_grace_seconds: Annotated[float, Field(ge=0)] = 60
    """How late an occurrence may be before the catch-up policy `skip` takes it for missed."""

    schedule_catch_up_limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    """How many missed occurrences of a schedule run at most under the catch-up policy `all`."""

    hook_lease_seconds: Seconds = 60
    """How long a call of a hook may take before it may be made again, by the same process or another."""

    hook_tries: Annotated[int, Field(ge=1)] = 10
    """After how many failures in a row a delivery to a hook is set aside until somebody retries it."""
    export_dir: Path = Path("exports")
    """Where exports with a relative path go, relative to the working directory. Workers must share it."""

    export_max_records: Annotated[int, Field(ge=1)] = 1_000_000
    """How many records a file may have; a format may hold fewer."""

    export_retention_days: Annotated[float, Field(gt=0)] = 7
    """How long the file of an export is kept before a worker removes it."""

    rejected_retention_days: Annotated[float, Field(gt=0)] = 30
    """How long a rejected command stays in the inbox; that it was rejected is in the audit for ever."""

    export_font: Path | None = None
    """A TrueType font that PDFs are set in. None is one for Latin scripts."""
    preview_records: Annotated[int, Field(ge=0, le=1_000_000)] = 10_000
    """How many records a preview tries at most; of more it tries so many, from places all over the selection."""

    preview_lock_timeout_ms: Annotated[int, Field(ge=1)] = 2_000
    """How long a preview waits for records that others hold, before it says so."""

    confirm: Asked = "never"
    """Which actions have to be confirmed by the token of a preview: never, destructive, always."""

    confirm_above: Annotated[int, Field(ge=0)] | None = None
    """Executions of more records than this have to be confirmed, whatever the action."""

    confirm_first: bool = False
    """Whether an actor's first execution of a destructive action has to be confirmed."""

    confirm_ttl_seconds: Seconds = 900
    """How long a preview's token is good."""

    confirm_drift: Annotated[float, Field(ge=0, le=1)] = 0
    """By what share the number of records may have changed since the preview; 0 wants the very same records."""

    cli_confirm: Asked = "destructive"
    """As `ACTION_LEDGER_CONFIRM`, asked for by the command line of its own, which `--yes` does without."""

    cli_confirm_above: Annotated[int, Field(ge=0)] = 1_000
    """As `ACTION_LEDGER_CONFIRM_ABOVE`, on the command line."""
    max_concurrent_executions: Annotated[int, Field(ge=1)] | None = None
    """How many executions of one actor may be under way at a time; without it, any number."""

    max_records_per_action: Annotated[int, Field(ge=1)] | None = None
    """How many records one execution may have; without it, any number. With it, planning is always gated."""

    max_executions_per_minute: Annotated[int, Field(ge=1)] | None = None
    """How many executions one actor may ask for in any minute; without it, any number."""

    cooldown_seconds: Annotated[float, Field(gt=0)] | None = None
    """For how long an actor waits after the end of a large execution; without it, not at all."""

    cooldown_records: Annotated[int, Field(ge=1)] = 10_000
    """How many records make an execution a large one."""

    action_limits: dict[str, Limits] = {}
    """Limits of single actions, as JSON, which hold as well: `{"delete": {"concurrent": 1, "records": 1000}}`; also `per_minute`, `cooldown_seconds`, `cooldown_records`."""

    context_settings: tuple[SettingPattern, ...] = ()
    """Which settings a command may declare as its context, as a JSON array: `["app.tenant_id"]`, or `["app.*"]` for all of `app`."""

    context_roles: tuple[RoleName, ...] = ()
    """Which roles a command may name in its context, as a JSON array."""

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

    @model_validator(mode="after")
    def _sizes_are_a_range(self) -> Self:
        if self.batch_min_size > self.batch_max_size:
            message = f"batch_min_size ({self.batch_min_size}) is above batch_max_size ({self.batch_max_size})"
            raise ValueError(message)
        return self

    @property
    def limits(self) -> AllLimits:
        """What actors may ask for."""
        general = Limits(
            concurrent=self.max_concurrent_executions,
            records=self.max_records_per_action,
            cooldown_seconds=self.cooldown_seconds,
            cooldown_records=self.cooldown_records,
            per_minute=self.max_executions_per_minute,
        )
        return AllLimits(general=general, by_action=self.action_limits)

    @property
    def contexts(self) -> AllowedContexts:
        """What a command may declare of whose rights it has."""
        return AllowedContexts(settings=self.context_settings, roles=self.context_roles)

    @property
    def sizes(self) -> Adaptive:
        """The sizes of batches, where an execution asks for none of its own."""
        return Adaptive(
            seconds=self.batch_target_seconds,
            minimum=self.batch_min_size,
            maximum=self.batch_max_size,
        )

    @property
    def confirmation(self) -> ConfirmationPolicy:
        """What has to be confirmed, whoever asks."""
        return ConfirmationPolicy(
            actions=self.confirm,
            above=self.confirm_above,
            first=self.confirm_first,
            ttl_seconds=self.confirm_ttl_seconds,
            drift=self.confirm_drift,
        )

    @property
    def preview_limits(self) -> PreviewLimits:
        """How far a preview goes."""
        return PreviewLimits(
            records=self.preview_records,
            lock_timeout_ms=self.preview_lock_timeout_ms,
            statement_seconds=self.batch_timeout_seconds or None,
            silence=self.lease_seconds / 2,
            ttl_seconds=self.confirm_ttl_seconds,
        )

    @property
    def cli_confirmation(self) -> ConfirmationPolicy:
        """What has to be confirmed on the command line: what the command line asks for, and what the ledger does."""
        above, own = self.cli_confirm_above, self.confirm_above
        return replace(
            self.confirmation,
            actions=max(self.confirm, self.cli_confirm, key=STRICTNESS.index),
            above=above if own is None else min(above, own),
        )
