"""Record actions: actions of the host's own that a Python function does, record by record.

It is called in the transaction of its batch, for records that are locked, and what it returns is written there. A
batch that does not commit has done nothing, and calls for its records anew, as they then are.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .actions import Action, require_reversal

LONGEST_CALL = 3_600.0
"""Seconds that a function may be given for one record."""

Returned = Mapping[str, Any] | Literal[False] | None
"""Columns and their new values. None, or none of them, is to change nothing; to raise, or to return False, is to
say that the record failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAction(Action):
    """An action whose ``handler`` takes a record and the parameters, and returns what is to be changed.

    It should do nothing else: it may be called again for a record, and for one that is not changed in the end.
    Raises InvalidAction when its parts do not go together.
    """

    kind: ClassVar[str] = "record"

    handler: Callable[..., Returned]
    model: type[BaseModel] | None = None
    """What the record is given as; None is a dict by column."""
    columns: tuple[str, ...] | None = None
    """The columns that the record is read with, beside its key; None means those of the model, or else all."""
    timeout: float = 30.0
    """Seconds for one call. One that takes longer cannot be stopped: its end is no longer waited for."""
    batch_size: int | None = 1_000
    """As of any action. Its records stay locked while it is at work, so it is smaller than others."""

    def __post_init__(self) -> None:
        """Check what a type cannot say."""
        Action.__post_init__(self)
        require_reversal(self)
        self.require_call(self.handler, "record", "parameters")
        model: Any = self.model
        if model is not None and not (inspect.isclass(model) and issubclass(model, BaseModel)):
            self.refuse("its model is a pydantic one")
        elif self.model is not None and self.columns is None:
            object.__setattr__(
                self, "columns", tuple(map(_column_of, self.model.model_fields.items()))
            )
        if not 0 < self.timeout <= LONGEST_CALL:
            self.refuse(f"timeout is more than 0 and at most {LONGEST_CALL:,.0f} seconds")

    def given(self, record: dict[str, Any]) -> Any:  # noqa: ANN401 - the host's own
        """Give the record as the function takes it. Raises ValidationError when it does not fit the model."""
        return record if self.model is None else self.model.model_validate(record)


def _column_of(field: tuple[str, FieldInfo]) -> str:
    """Name the column that a field of a model is read from."""
    name, info = field
    return info.validation_alias if isinstance(info.validation_alias, str) else name
