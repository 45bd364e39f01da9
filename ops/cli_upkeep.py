"""Migrates the ledger's schema and rolls it back, and says what was done."""

from .cli_running import ask_first
from .cli_terminal import WARN, Terminal, many
from .database import Database
from .migrations import migrate, rollback, status
from .settings import Settings


def run_migrate(database: Database, settings: Settings, terminal: Terminal) -> None:
    """Apply the migrations that are missing."""
    schema = settings.db_schema
    with database, database.connection() as connection:
        applied = migrate(connection, schema)
        version = max(
            (state.version for state in status(connection, schema) if state.applied_at), default=0
        )
    if terminal.as_json:
        names = [f"{step.version:04}_{step.name}" for step in applied]
        terminal.give({"schema": schema, "applied": names, "version": version})
        return
    for step in applied:
        terminal.say(f"applied {step.version:04}_{step.name}")
    already = "" if applied else " already"
    terminal.say(f"The schema {schema} is{already} at version {version}.")


def run_rollback(
    database: Database, settings: Settings, terminal: Terminal, *, steps: int, confirmed: bool
) -> None:
    """Take migrations back, after a yes."""
    schema = settings.db_schema
    if not confirmed:
        terminal.note(
            f"This drops tables of the schema {schema} with what they hold: the events, the change sets "
            "and with them every undo. The tables of your own stay as they are.",
            WARN,
        )
        ask_first(
            terminal,
            f"Roll back {many(steps, 'migration')}?",
            action="rollback",
            reason="it drops the ledger's data, and there is nobody to ask",
        )
    with database, database.connection() as connection:
        undone = rollback(connection, schema, steps)
    if terminal.as_json:
        names = [f"{step.version:04}_{step.name}" for step in undone]
        terminal.give({"schema": schema, "rolled_back": names})
        return
    for step in undone:
        terminal.say(f"rolled back {step.version:04}_{step.name}")
    if not undone:
        terminal.say(f"The schema {schema} has no migration to roll back.")
