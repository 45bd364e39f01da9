"""Set actions: actions of the host's own that the database does, each batch in one statement, as it does an update.

The function is asked once, when an execution is requested, and what it says is kept for all its batches. So a
batch that is tried again, or done by another release of the host's program, does what the others did.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict, Field

from .actions import Action, Parameters, require_reversal, takes
from .columns import assignment
from .errors import ActionLedgerError, InvalidParameters, shown
from .expression import Assignment
from .selection import Predicate, PredicateNode


@dataclass(frozen=True, slots=True)
class Changes:
    """What a set action does: columns, each with a constant or an expression such as ``col("score") + 1``.

    ``where`` leaves out records for which it is not true, beside the selection's own condition.
    """

    values: Mapping[str, Any]
    where: Predicate | None = None


class KeptChanges(BaseModel):
    """The same as it is kept with the request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    values: dict[str, Assignment] = Field(min_length=1)
    where: Predicate | None = None


@dataclass(frozen=True, slots=True)
class TableShape:
    """The table of a request, for a function that looks at it: its columns' types by their names, and its key."""

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAction(Action):
    """An action that sets columns. ``handler`` takes the parameters, and the TableShape where it wants it too.

    It returns the columns and what each is set to, or ``Changes`` with a condition as well. Raises InvalidAction
    when its parts do not go together.
    """

    kind: ClassVar[str] = "set"

    handler: Callable[..., Mapping[str, Any] | Changes]

    def __post_init__(self) -> None:
        """Check what a type cannot say."""
        Action.__post_init__(self)
        require_reversal(self)
        self.require_call(self.handler, *("parameters", "table")[: self._arguments])

    @property
    def _arguments(self) -> int:
        return 2 if takes(self.handler, 2) and not takes(self.handler, 1) else 1

    def changes(self, parameters: Parameters, table: TableShape) -> KeptChanges:
        """Ask the function. Raises InvalidParameters for what it raises, and for what is no change."""
        try:
            said = self.handler(*(parameters, table)[: self._arguments])
        except ActionLedgerError:
            raise
        except Exception as error:
            detail = f"its function raised {type(error).__name__}: {error}"
            raise InvalidParameters(action=self.name, detail=detail) from error
        changes = said if isinstance(said, Changes) else Changes(said)
        values = cast("object", changes.values)
        if not isinstance(values, Mapping) or not values:
            detail = (
                f"its function has to return columns and what they are set to, not {shown(said)}"
            )
            raise InvalidParameters(action=self.name, detail=detail)
        where = cast("object", changes.where)
        if not isinstance(where, PredicateNode | None):
            detail = f"its function gave {shown(where)} for a condition"
            raise InvalidParameters(action=self.name, detail=detail)
        named = cast("Mapping[object, object]", values).items()
        return KeptChanges(
            values={str(name): assignment(value) for name, value in named}, where=changes.where
        )
