"""What a transaction has set for the user's policies: settings and a role, for itself only."""

from collections.abc import Mapping
from typing import Any

from psycopg import Cursor

from .sql_blocks import read_blocks

SQL = read_blocks("action_ledger.projections", "store.sql")


class Assumed:
    """Sets and takes back, with ``SET LOCAL``: whatever becomes of the transaction, its connection keeps nothing.

    A rollback to a savepoint may bring back what was taken back since. So nothing here trusts that it is as it was
    left, and what was set once in a transaction is set anew each time.
    """

    def __init__(self, cursor: Cursor[dict[str, Any]]) -> None:
        self._cursor = cursor
        self._names: set[str] = set()
        self.declared = False
        """Whether the command at hand has a context."""
        self._own_role: str | None = None
        """The role of before; None where none was ever taken on."""

    def take(self, settings: Mapping[str, str], role: str | None) -> None:
        """Set these, and empty those that are left from before. Raises what the database says of the role."""
        self.declared = bool(settings) or role is not None
        wanted = {**dict.fromkeys(self._names, ""), **settings}
        self._names.update(settings)
        self.give_role_back()
        if wanted:
            self._set(wanted)
        if role is not None:
            if self._own_role is None:
                row = self._cursor.execute(SQL["own_role"]).fetchone()
                self._own_role = row["role"] if row else "none"
            self._set({"role": role})

    def give_role_back(self) -> None:
        """Be the ledger's own login again: only that may append."""
        if self._own_role is not None:
            self._set({"role": self._own_role})

    def _set(self, settings: Mapping[str, str]) -> None:
        values = {"names": list(settings), "values": list(settings.values())}
        self._cursor.execute(SQL["set_local"], values)
