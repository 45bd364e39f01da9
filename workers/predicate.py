"""Compiles a predicate to a condition over the rows of a table, with every value a parameter.

What is compiled stands in statements that are run with parameters, if only an empty mapping of them:
% in the name of a column is doubled in it (see ``catalog.identifier``).
"""

from collections.abc import Sequence
from typing import assert_never

from psycopg import sql

from action_ledger.domain.errors import InvalidValue, shown
from action_ledger.domain.selection import (
    And,
    Between,
    Comparison,
    ExpressionComparison,
    Membership,
    Not,
    NullCheck,
    Or,
    Predicate,
)
from action_ledger.domain.values import plain

from .expressions import ExpressionCompiler
from .literals import Parameters, compile_list, compile_literal, literal_text
from .table import Table

AND = sql.SQL(" AND ")
OR = sql.SQL(" OR ")
NULL = sql.SQL("({} IS NOT DISTINCT FROM NULL)")
NOT_NULL = sql.SQL("({} IS DISTINCT FROM NULL)")
COMPARISONS = {
    "eq": sql.SQL("="),
    "ne": sql.SQL("<>"),
    "lt": sql.SQL("<"),
    "le": sql.SQL("<="),
    "gt": sql.SQL(">"),
    "ge": sql.SQL(">="),
}


def compile_predicate(
    predicate: Predicate, table: Table, alias: str, parameters: Parameters
) -> sql.Composable:
    """Give the condition over the row of ``table`` that ``alias`` names; raise UnknownColumn or InvalidValue."""
    return PredicateCompiler(table, alias, parameters).predicate(predicate)


class PredicateCompiler(ExpressionCompiler):
    """Compiles the predicates and expressions of one statement over the rows of one table."""

    def predicate(self, predicate: Predicate) -> sql.Composable:
        """Give the condition over the row, in parentheses; raise UnknownColumn or InvalidValue."""
        match predicate:
            case And():
                return self._joined(AND, predicate.terms)
            case Or():
                return self._joined(OR, predicate.terms)
            case Not():
                return sql.SQL("(NOT {})").format(self.predicate(predicate.term))
            case NullCheck():
                # IS NULL would be true for a composite value all of whose fields are null.
                return (NOT_NULL if predicate.negated else NULL).format(
                    self.column(predicate.column)
                )
            case _:
                return self._comparing(predicate)

    def _comparing(
        self, predicate: Comparison | ExpressionComparison | Membership | Between
    ) -> sql.Composable:
        match predicate:
            case Comparison():
                return self._comparison(predicate)
            case ExpressionComparison():
                left, right = self.expression(predicate.left), self.expression(predicate.right)
                return sql.SQL("({} {} {})").format(left, COMPARISONS[predicate.op], right)
            case Membership():
                return self._membership(predicate)
            case Between():
                column = self.table.column(predicate.column)
                low = compile_literal(predicate.low, column, self.parameters)
                high = compile_literal(predicate.high, column, self.parameters)
                return sql.SQL("({} BETWEEN {} AND {})").format(self.column(column.name), low, high)
            case _:
                assert_never(predicate)

    def _joined(self, joint: sql.SQL, terms: Sequence[Predicate]) -> sql.Composable:
        return sql.SQL("({})").format(joint.join(self.predicate(term) for term in terms))

    def _comparison(self, node: Comparison) -> sql.Composable:
        column = self.table.column(node.column)
        reference = self.column(column.name)
        if node.op == "like":
            return sql.SQL("({} LIKE {}::text)").format(reference, self._pattern(node))
        value = compile_literal(node.value, column, self.parameters)
        return sql.SQL("({} {} {})").format(reference, COMPARISONS[node.op], value)

    def _pattern(self, node: Comparison) -> sql.Placeholder:
        pattern, detail = node.value, None
        if not isinstance(pattern, str):
            detail = "a pattern is a text"
        elif (len(pattern) - len(pattern.rstrip("\\"))) % 2:
            # The server would say so as well, but only on meeting a record that gets that far.
            detail = "a pattern must not end in a single backslash"
        if detail is not None:
            value = shown(plain(pattern))
            raise InvalidValue(
                value=value, detail=detail, table=self.table.label, column=node.column
            )
        return self.parameters.add(literal_text(pattern, self.table.column(node.column)))

    def _membership(self, node: Membership) -> sql.Composable:
        column = self.table.column(node.column)
        reference = self.column(column.name)
        if not column.is_array:
            values = compile_list(node.values, column, self.parameters)
            test = sql.SQL("({} <> ALL ({}))" if node.negated else "({} = ANY ({}))")
            return test.format(reference, values)
        if not node.values:
            return sql.SQL("TRUE" if node.negated else "FALSE")
        # An array of arrays is one array of more dimensions, all of whose elements ANY would walk.
        tests = [
            sql.SQL("{} = {}").format(reference, compile_literal(value, column, self.parameters))
            for value in node.values
        ]
        return sql.SQL("(NOT ({}))" if node.negated else "({})").format(OR.join(tests))
