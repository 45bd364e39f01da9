"""Keys of the caller's own for commands: whatever is sent under a key again is the command that was sent first."""

from typing import Any, TypeVar
from uuid import UUID

from psycopg import Cursor, sql

from action_ledger.domain.chain_commands import RequestChain
from action_ledger.domain.commands import Command, CreateSchedule
from action_ledger.projections.sql_blocks import read_blocks

SQL = read_blocks("action_ledger.ops", "inbox.sql")
C = TypeVar("C", bound=Command)


def under_key(cursor: Cursor[Any], schema: str, command: C) -> C:
    """Give a command the id that its key has had before; the first one gives its own to the key."""
    statement = SQL["name_command"].format(schema=sql.Identifier(schema))
    values = {"key": command.once, "command_id": str(command.command_id)}
    row = cursor.execute(statement, values).fetchone()
    if row is None:
        message = "RETURNING gives a row"
        raise AssertionError(message)
    named: dict[str, Any] = {"command_id": UUID(row["command_id"])}
    # What it runs has ids of its own, and would never be the same.
    match command:
        case CreateSchedule():
            named["execution"] = command.execution.model_copy(update=named)
        case RequestChain():
            executions = (step.execution.model_copy(update=named) for step in command.steps)
            named["steps"] = tuple(
                step.model_copy(update={"execution": execution})
                for step, execution in zip(command.steps, list(executions), strict=True)
            )
        case _:
            pass
    return command.model_copy(update=named)
