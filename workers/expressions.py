"""Compiles what an update sets a column to: a value of the column's type, or an expression over the record."""

from typing import assert_never

from psycopg import sql

from action_ledger.domain.errors import ColumnNotWritable
from action_ledger.domain.expression import (
    Arithmetic,
    Assignment,
    Call,
    ColumnReference,
    Expression,
    ExpressionNode,
    Round,
    Value,
)

from .literals import Parameters, array_text, compile_literal, scalar_text
from .table import Column, Table, identifier

OPERATORS = {
    "add": sql.SQL("+"),
    "subtract": sql.SQL("-"),
    "multiply": sql.SQL("*"),
    "divide": sql.SQL("/"),
}
FUNCTIONS = {
    "lower": sql.SQL("lower"),
    "upper": sql.SQL("upper"),
    "trim": sql.SQL("btrim"),
    "coalesce": sql.SQL("coalesce"),
}


def writable(table: Table, name: str) -> Column:
    """Give a column that an update may set; raise UnknownColumn or ColumnNotWritable."""
    column = table.column(name)
    reason = (
        "it is generated"
        if column.generated
        else "it is an identity column that is always generated"
        if column.identity_always
        else None
    )
    if reason is not None:
        raise ColumnNotWritable(table=table.label, column=name, reason=reason)
    return column


def compile_assignment(
    assignment: Assignment, table: Table, alias: str, parameters: Parameters, column: Column
) -> sql.Composable:
    """Give what stands right of the = in SET; raise UnknownColumn or InvalidValue.

    It has the column's type without modifiers: the assignment itself applies and checks those.
    """
    if isinstance(assignment, ExpressionNode):
        return compile_expression(assignment, table, alias, parameters)
    return compile_literal(assignment, column, parameters)


def compile_expression(
    expression: Expression, table: Table, alias: str, parameters: Parameters
) -> sql.Composable:
    """Give the expression over the row of ``table`` that ``alias`` names; raise UnknownColumn or InvalidValue."""
    return ExpressionCompiler(table, alias, parameters).expression(expression)


class ExpressionCompiler:
    """Compiles the expressions of one statement over the rows of one table."""

    def __init__(self, table: Table, alias: str, parameters: Parameters) -> None:
        """Refer to the row as ``alias``, and add values to ``parameters``."""
        self.table = table
        self.alias = alias
        self.parameters = parameters

    def column(self, name: str) -> sql.Composable:
        """Refer to a column of the row; raise UnknownColumn."""
        return identifier(self.alias, self.table.column(name).name)

    def expression(self, expression: Expression) -> sql.Composable:
        """Give the expression over the row; raise UnknownColumn or InvalidValue."""
        match expression:
            case ColumnReference():
                return self.column(expression.name)
            case Value():
                return self._value(expression)
            case Arithmetic():
                return self._arithmetic(expression)
            case Call():
                return self._call(expression)
            case Round():
                # Only numeric can be rounded to decimals.
                digits = self.parameters.add(str(expression.digits))
                argument = self.expression(expression.argument)
                return sql.SQL("round({}::numeric, {}::integer)").format(argument, digits)
            case _:
                assert_never(expression)

    def _arithmetic(self, node: Arithmetic) -> sql.Composable:
        left, right = self.expression(node.left), self.expression(node.right)
        if (
            node.op == "modulo"
        ):  # the operator is %, which a statement without parameters would not undouble
            return sql.SQL("mod({}, {})").format(left, right)
        return sql.SQL("({} {} {})").format(left, OPERATORS[node.op], right)

    def _call(self, call: Call) -> sql.Composable:
        arguments = [self.expression(argument) for argument in call.arguments]
        match call.function:
            case "negate":
                return sql.SQL("(- {})").format(*arguments)
            case "concat":
                return sql.SQL("({})").format(sql.SQL(" || ").join(arguments))
            case "lower" | "upper" | "trim" | "coalesce":
                return sql.SQL("{}({})").format(
                    FUNCTIONS[call.function], sql.SQL(", ").join(arguments)
                )
            case _:
                assert_never(call.function)

    def _value(self, node: Value) -> sql.Composable:
        literal = node.value
        text = array_text(literal) if isinstance(literal, tuple) else scalar_text(literal)
        placeholder = self.parameters.add(text)
        # Without a type, the server infers it from what stands beside the parameter.
        return (
            sql.SQL("{}::{}").format(placeholder, sql.SQL(node.type)) if node.type else placeholder
        )
