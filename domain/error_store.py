"""Errors of the ledger's own store, or of the way to it. See ``errors``."""

# ruff: noqa: N818  # as in errors.py

from typing_extensions import override

from .error_root import ActionLedgerError


class StoreError(ActionLedgerError, code="store_error"):
    """The store of the ledger is not in order."""


class StoreNotMigrated(StoreError, code="store_not_migrated", hint="Run `action-ledger migrate`."):
    """The schema {schema} is at version {current}, and this release needs {required}."""

    schema: str
    current: int
    required: int


class StoreTooNew(
    StoreError,
    code="store_too_new",
    hint="A newer release migrated it: upgrade this one, or roll back with the newer one.",
):
    """The schema {schema} is at version {current}, and this release knows versions up to {required}."""

    schema: str
    current: int
    required: int


class MigrationAltered(
    StoreError,
    code="migration_altered",
    hint="A released migration never changes: use an unchanged release, or a fresh schema.",
):
    """Migration {version} of the schema {schema} was applied from another text than this release's."""

    schema: str
    version: int


class EmbeddedUnavailable(StoreError, code="embedded_unavailable"):
    """The embedded PostgreSQL cannot be used: {reason}."""

    reason: str
    remedy: str | None = None

    @property
    @override
    def advice(self) -> str:
        """Say what helps against the cause at hand; a server of one's own always does."""
        own = "et ACTION_LEDGER_DATABASE_URL to a server of yours."
        return f"{self.remedy}, or s{own}" if self.remedy else f"S{own}"


class StoreUnavailable(
    StoreError,
    code="store_unavailable",
    hint="Check ACTION_LEDGER_DATABASE_URL and that the server runs.",
):
    """The database cannot be reached: {reason}."""

    reason: str


class WorkerFailed(
    StoreError,
    code="worker_failed",
    hint="Its log has the fault. Nothing is lost: start it again when the cause is mended.",
):
    """A thread of the worker failed again and again: {reason}."""

    reason: str


class UnknownTopic(
    StoreError,
    code="unknown_topic",
    hint="It was written by a newer release: upgrade this one.",
):
    """The ledger holds an event of topic {topic}, which this release does not know."""

    topic: str


class CommandTimedOut(
    StoreError,
    code="command_timed_out",
    hint="Nothing is lost: send the same command again, or look at the execution.",
):
    """The command did not end within {seconds} seconds: {detail}."""

    seconds: float
    detail: str


class DatabaseRefused(
    StoreError,
    code="database_refused",
    hint="Nothing was written. Look at the table, its triggers and the rights of this login.",
):
    """The database refused a statement (SQLSTATE {sqlstate}): {detail}."""

    sqlstate: str
    detail: str


class EffectAbandoned(
    StoreError,
    code="effect_abandoned",
    hint="Its handler ends or blocks the process that calls it: mend it, then retry the records that failed.",
):
    """The last {leases} workers that took up batch {batch_id} brought nothing."""

    batch_id: str
    leases: int


class ProjectionBlocked(
    StoreError,
    code="projection_blocked",
    hint="Mend the projection or the event's class, then try again; the live view is as it was.",
):
    """Projection {projection} cannot take in the event {topic} at position {position}: {detail}."""

    projection: str
    position: int
    topic: str
    detail: str
