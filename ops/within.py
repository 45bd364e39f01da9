"""Commands in a transaction of the host's: each is one row of the inbox, and stands or falls with the host's writes.

Nothing else happens on the host's connection: no planning, no change of a record, and never the append lock. Workers
take the command in once the host has committed.
"""

from collections.abc import Generator, Iterable
from contextlib import contextmanager, nullcontext
from typing import Any, cast

from psycopg import Connection, Cursor, sql
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from action_ledger.domain.any_command import AnyCommand
from action_ledger.domain.command import subject_of
from action_ledger.domain.errors import CommandReused, InHostTransaction, InvalidValue, shown
from action_ledger.domain.policy import Policy
from action_ledger.domain.selection import KeyValue
from action_ledger.projections import tracing
from action_ledger.projections.store import Store
from action_ledger.projections.work_queue import WORK

from .intake import C, sending
from .key_lists import SMALL
from .once import SQL, under_key
from .rights import require_right
from .translation import rights_named

NEEDED = "GRANT USAGE ON SCHEMA {0} TO {1}; GRANT SELECT, INSERT, UPDATE ON {0}.command_inbox, {0}.command_keys TO {1}"


class HostIntake:
    """The way in for commands that are sent in a host's transaction."""

    def __init__(self, store: Store, policy: Policy, connection: Connection[Any]) -> None:
        """Raises InvalidValue for what is no open connection of psycopg 3."""
        self._store = store
        self._policy = policy
        self._connection = _checked(connection)

    def accept(
        self, command: AnyCommand, *, now: bool, keys: Iterable[KeyValue] | None = None
    ) -> bool:
        """Leave the command in the inbox. Raises InHostTransaction for what would have to be done at once."""
        if now:
            raise InHostTransaction(instead="submit it, and workers do it after the COMMIT")
        if keys is not None:
            detail = f"give a list of at most {SMALL:,} keys, or choose them by a condition"
            raise InHostTransaction(instead=detail)
        require_right(self._store, self._policy, command)
        with sending(command), self._cursor() as cursor:
            values = {
                "command_id": str(command.command_id),
                "subject": str(subject_of(command.model_dump(mode="json"))),
                "command": command.model_dump_json(),
                "fingerprint": command.fingerprint,
                "traceparent": tracing.current_traceparent(),
                "channel": self._store.channel,
                "payload": WORK,
            }
            row = cursor.execute(self._compose("accept"), values).fetchone()
        if row is not None and row["fingerprint"] != command.fingerprint:
            raise CommandReused(command_id=command.command_id)
        return True

    def named(self, command: C) -> C:
        """Give the command the id of its key, in the host's transaction: it goes with that."""
        if command.once is None:
            return command
        with self._cursor() as cursor:
            return under_key(cursor, self._store.schema, command)

    @contextmanager
    def _cursor(self) -> Generator[Cursor[dict[str, Any]]]:
        """Lend a cursor; what the database refuses leaves a transaction of the host's as it was.

        Raises PermissionDenied for a missing right, and the driver's own errors otherwise: the host may wait for them.
        """
        info = self._connection.info
        begun = info.transaction_status is TransactionStatus.INTRANS
        with (
            rights_named(NEEDED.format(self._store.schema, "the role of the host's transaction")),
            self._connection.transaction() if begun else nullcontext(),
            self._connection.cursor(row_factory=dict_row) as cursor,
        ):
            yield cursor

    def _compose(self, block: str) -> sql.Composed:
        return SQL[block].format(schema=sql.Identifier(self._store.schema))


def _checked(connection: object) -> Connection[Any]:
    if isinstance(connection, Connection):
        given = cast("Connection[Any]", connection)
        if not given.closed:
            return given
    detail = "an open connection of psycopg 3 is needed, the one of the host's transaction"
    raise InvalidValue(value=shown(cast("object", connection)), detail=detail)
