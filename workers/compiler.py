"""What a built-in action compiles with: a table, and the parameters of one statement."""

from action_ledger.domain.expression import Assignment as AssignedValue

from .catalog import Table
from .change import Assignment
from .expressions import compile_assignment, writable
from .literals import Parameters


class Compiler:
    """Compiles assignments to columns of a table, over the row ``t``."""

    def __init__(self, table: Table, parameters: Parameters) -> None:
        self._table = table
        self._parameters = parameters

    def assign(self, column: str, value: AssignedValue) -> Assignment:
        """Set a column. Raises UnknownColumn or ColumnNotWritable."""
        target = writable(self._table, column)
        return Assignment(
            target, compile_assignment(value, self._table, "t", self._parameters, target)
        )
