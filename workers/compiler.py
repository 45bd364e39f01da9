"""What a built-in action compiles with: a table, and the parameters of one statement."""

from action_ledger.domain.expression import Assignment as AssignedValue
from action_ledger.domain.expression import ExpressionNode, columns_of
from action_ledger.domain.resource import Resource

from .change import Assignment
from .expressions import compile_assignment, writable
from .literals import Parameters
from .table import Column, Table


class Compiler:
    """Compiles assignments to columns of a table, over the row ``t``, and finds its conventions."""

    def __init__(self, table: Table, resource: Resource, parameters: Parameters) -> None:
        self.table = table
        self.resource = resource
        self._parameters = parameters

    def assign(self, column: str, value: AssignedValue) -> Assignment:
        """Set a column. Raises UnknownColumn or ColumnNotWritable."""
        target = writable(self.table, column)
        compiled = compile_assignment(value, self.table, "t", self._parameters, target)
        constant = not isinstance(value, ExpressionNode) or not columns_of(value)
        return Assignment(target, compiled, constant=constant)

    def convention(self, named: str | None, default: str) -> Column | None:
        """Find the column of a convention: the one that the resource names, or else the usual one."""
        if named is not None:
            return self.table.column(named)
        return next((column for column in self.table.columns if column.name == default), None)
