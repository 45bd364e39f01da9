"""Errors of a command that is wrong: nothing was written, and the same command will fail again. See ``errors``."""

# ruff: noqa: N818  # as in errors.py

from typing_extensions import override

from .error_root import ActionLedgerError


class InvalidCommand(ActionLedgerError, code="invalid_command"):
    """The command is not valid."""


class SelectionMissing(
    InvalidCommand,
    code="selection_missing",
    hint="Say which: .where(...), .keys(...) or .all(); on the command line --where, --keys or --all.",
):
    """No records were selected."""


class SelectionTwice(
    InvalidCommand,
    code="selection_twice",
    hint="Choose once. Several conditions narrow each other.",
):
    """The records were chosen twice: {second} would replace {first}."""

    first: str
    second: str


class UnknownTable(InvalidCommand, code="unknown_table"):
    """There is no table {table} that this login can see."""

    table: str
    suggestions: tuple[str, ...] = ()

    @property
    @override
    def advice(self) -> str:
        """Name tables of that name in other schemas."""
        return (
            f"There is {' and '.join(self.suggestions)}."
            if self.suggestions
            else 'Check the spelling and the search path, or write it as "schema.table".'
        )


class UnsupportedTable(
    InvalidCommand,
    code="unsupported_table",
    hint="Name an ordinary or partitioned table of your own.",
):
    """Actions cannot run on {table}: {reason}."""

    table: str
    reason: str


class NoPrimaryKey(InvalidCommand, code="no_primary_key", hint="Add a primary key to it."):
    """Table {table} has no primary key, so its records cannot be told apart."""

    table: str


class UnknownColumn(InvalidCommand, code="unknown_column"):
    """Table {table} has no column {column}."""

    table: str
    column: str
    suggestions: tuple[str, ...] = ()

    @property
    @override
    def advice(self) -> str:
        """Name the columns that look like it."""
        return (
            f"Did you mean {' or '.join(self.suggestions)}?"
            if self.suggestions
            else "Check the spelling and the case."
        )


class ColumnNotWritable(InvalidCommand, code="column_not_writable", hint="Leave it out."):
    """Column {column} of {table} cannot be given a value: {reason}."""

    table: str
    column: str
    reason: str


class InvalidValue(InvalidCommand, code="invalid_value"):
    """Value {value} cannot be used{place}: {detail}."""

    value: str
    detail: str
    table: str | None = None
    column: str | None = None
    column_type: str | None = None

    @property
    def place(self) -> str:
        """Where the value was to go, as far as that is known."""
        table = f" of {self.table}" if self.table else ""
        kind = f" ({self.column_type})" if self.column_type else ""
        return f" for column {self.column}{table}{kind}" if self.column else ""


class CommandTooLarge(
    InvalidCommand,
    code="command_too_large",
    hint="Choose by in_() or by keys, which take any number, and give large values in several commands.",
):
    """The command is too large: {detail}."""

    detail: str


class UnsupportedComparison(
    InvalidCommand,
    code="unsupported_comparison",
    hint="Use another column, or is_null() and is_not_null(), which work for every type.",
):
    """Column {column} of {table} cannot be compared with {operator}: its type {column_type} does not have it."""

    table: str
    column: str
    column_type: str
    operator: str


class InvalidExpression(InvalidCommand, code="invalid_expression"):
    """The expression{place} cannot be used: {detail}."""

    detail: str
    table: str | None = None
    column: str | None = None

    @property
    def place(self) -> str:
        """Where its result was to go, as far as that is known."""
        table = f" of {self.table}" if self.table else ""
        return f" for column {self.column}{table}" if self.column else ""


class UnknownAction(InvalidCommand, code="unknown_action"):
    """There is no action {action}."""

    action: str
    known: tuple[str, ...] = ()

    @property
    @override
    def advice(self) -> str | None:
        """Name the actions that there are."""
        return f"There are: {', '.join(self.known)}." if self.known else None


class InvalidAction(InvalidCommand, code="invalid_action"):
    """The action {action} cannot be registered: {detail}."""

    action: str
    detail: str


class InvalidParameters(InvalidCommand, code="invalid_parameters"):
    """The parameters of action {action} are not valid: {detail}."""

    action: str
    detail: str


class ActorMissing(
    InvalidCommand,
    code="actor_missing",
    hint='Say who with .by("user:42", reason="..."), or --by on the command line.',
):
    """Nobody was named who asks for this."""


class IrreversibleCascade(
    InvalidCommand,
    code="irreversible_cascade",
    hint="Deal with those records first, or give up the undo: irreversible() or --irreversible.",
):
    """The change of {table} would reach {referencing} by foreign key {constraint} and could not be taken back: {reason}."""

    table: str
    referencing: str
    constraint: str
    reason: str


class UnknownProjection(InvalidCommand, code="unknown_projection"):
    """There is no projection {projection}."""

    projection: str
    known: tuple[str, ...] = ()

    @property
    def advice(self) -> str | None:
        """Name the projections that there are."""
        return f"There are: {', '.join(self.known)}." if self.known else None
