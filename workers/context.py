"""Takes a command's context on, before its table is touched, and refuses a table whose policies would not hold."""

from uuid import UUID

from psycopg.errors import InsufficientPrivilege, InvalidParameterValue, UndefinedObject

from action_ledger.domain.context import Context
from action_ledger.domain.errors import ContextDiffers, ContextRequired, RoleUnusable
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .faults import message_of
from .table import Table

SQL = read_blocks("action_ledger.workers", "context.sql")


def assume(transaction: Transaction, context: Context | None) -> None:
    """Let the transaction have a context, and no other's, until it appends. Raises RoleUnusable.

    A role needs the rights of the ledger's login on the ledger's tables, since one statement reads and writes both
    its own tables and the user's. So it must be one that nobody can log in as.
    """
    if context is None:
        transaction.assumed.take({}, None)
        return
    try:
        transaction.assumed.take(context.settings, context.role)
    except (InvalidParameterValue, InsufficientPrivilege, UndefinedObject) as error:
        if context.role is None:
            raise
        raise RoleUnusable(role=context.role, reason=message_of(error)) from error
    if context.role is None:
        return
    row = transaction.execute(SQL["role"], {"schema": transaction.schema_name}).fetchone()
    if row is None or row["can_login"]:
        reason = (
            "one can log in as it, and would see in the ledger's tables what all tenants changed"
        )
        raise RoleUnusable(role=context.role, reason=reason)
    if not row["may_work"]:
        reason = "it has no rights on the ledger's tables"
        raise RoleUnusable(role=context.role, reason=reason)


def require_policies(transaction: Transaction, table: Table, context: Context | None) -> None:
    """Raise ContextRequired for a table with row-level security whose policies do not hold, or for nobody named."""
    if not table.row_security:
        return
    if context is None:
        raise ContextRequired(table=table.label, reason="the command declares no context")
    role = _above(transaction, table)
    if role is not None:
        reason = f"its policies do not hold for {role}, who owns it or bypasses them"
        raise ContextRequired(table=table.label, reason=reason, bypassed=role)


def policies_hold(transaction: Transaction, table: Table) -> bool:
    """Say whether a table has no policies, or such as hold in the context that was taken on."""
    if not table.row_security:
        return True
    return transaction.assumed.declared and _above(transaction, table) is None


def _above(transaction: Transaction, table: Table) -> str | None:
    """Give the role that the server takes this transaction for, where it is above the table's policies."""
    row = transaction.execute(SQL["policies"], {"table": table.oid}).fetchone()
    return str(row["role"]) if row and not row["hold"] else None


def require_same(ours: Context | None, theirs: Context | None, *, subject: UUID) -> None:
    """Raise ContextDiffers where one asks for what was done in another context than its own."""
    if ours != theirs:
        raise ContextDiffers(subject=subject)
