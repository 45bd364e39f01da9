"""The first half of the fluent face: a table, its records that were chosen, and the action on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, cast

from action_ledger.domain.bounds import check_size
from action_ledger.domain.columns import Operand, assignment
from action_ledger.domain.commands import DAY
from action_ledger.domain.errors import (
    InvalidValue,
    SelectionTwice,
)
from action_ledger.domain.selection import (
    Everything,
    Keys,
    KeyValue,
    Selection,
    Where,
)

from .builder import Request
from .checks import check_predicate
from .key_lists import key_list

if TYPE_CHECKING:
    from action_ledger.domain.resource import Resource
    from action_ledger.domain.selection import Predicate

    from .ledger import Ledger


@dataclass(frozen=True, slots=True)
class Target:
    """A table, and the records of it that were chosen so far."""

    ledger: Ledger
    resource: Resource
    selection: Selection | None = None
    streamed: Iterable[KeyValue] | None = None

    def where(self, predicate: Predicate) -> Target:
        """Choose the records for which a predicate is true; a second call narrows the first."""
        check_predicate(predicate)
        if isinstance(self.selection, Where):
            predicate = self.selection.predicate & predicate
            return replace(self, selection=Where(predicate=predicate))
        return self._select(Where(predicate=predicate))

    def keys(self, keys: Iterable[Any]) -> Target:
        """Choose records by key: any iterable, streamed when it is long. An empty one chooses nothing."""
        given = key_list(keys)
        if not isinstance(given, tuple):
            return self._select(Keys(keys=None), given)
        if None in given:
            raise InvalidValue(value="None", detail="a key is never null")
        return self._select(Keys(keys=given))

    def all(self) -> Target:
        """Choose every record of the table. It must be said."""
        return self._select(Everything())

    def update(self, /, **values: Any) -> Request:  # noqa: ANN401 - any value of a column's type
        """Set columns, each to a constant or to an expression such as ``col("score") + 1``."""
        return self.apply(
            "update", values={name: assignment(value) for name, value in values.items()}
        )

    def delete(self, *, hard: bool = False) -> Request:
        """Mark as deleted; with ``hard``, take the rows out of the table."""
        return self.apply("delete", hard=hard)

    def restore(self, *, mark: Literal["deleted", "archived"] | None = None) -> Request:
        """Take the mark of a soft delete off, or that of the archive."""
        return self.apply("restore", mark=mark)

    def archive(self, reason: str | None = None) -> Request:
        """Mark as archived, with a reason."""
        return self.apply("archive", reason=reason)

    def export(
        self,
        path: str | PurePath,
        *,
        format: str | None = None,  # noqa: A002 - what it is called
        columns: Iterable[str] | None = None,
        overwrite: bool = False,
        escape_formulas: bool = True,
    ) -> Request:
        """Write the records to a file, one in all; its suffix says the format if nothing else does."""
        return self.apply(
            "export",
            path=str(path),
            format=PurePath(path).suffix.removeprefix(".") if format is None else format,
            columns=None if columns is None else tuple(columns),
            overwrite=overwrite,
            escape_formulas=escape_formulas,
        )

    def apply(self, action: str, /, **parameters: Any) -> Request:  # noqa: ANN401
        """Run an action by its name."""
        check_size(parameters)
        parameters = cast("dict[str, Any]", _without_operands(parameters))
        self.ledger.actions.validate(action, parameters)
        known, settings = self.ledger.actions.get(action), self.ledger.settings
        return Request(
            target=self,
            options={
                "action": action,
                "parameters": parameters,
                "batch_size": known.batch_size or settings.batch_size,
                "undo_seconds": settings.undo_expiry_days * DAY,
                "queue": known.queue or settings.queue,
            },
        )

    def _select(
        self,
        selection: Selection,
        streamed: Iterable[KeyValue] | None = None,
    ) -> Target:
        """Choose once: a choice that replaced another would change records that nobody meant."""
        if self.selection is not None:
            raise SelectionTwice(first=self.selection.kind, second=selection.kind)
        return replace(self, selection=selection, streamed=streamed)


def _without_operands(value: object) -> object:
    """Put the models of expressions where Python's notation of them stands, however deep."""
    match value:
        case Operand():
            return value.expression
        case dict():
            items = cast("dict[str, object]", value).items()
            return {name: _without_operands(item) for name, item in items}
        case list() | tuple():
            return [_without_operands(item) for item in cast("list[object]", value)]
        case _:
            return value
