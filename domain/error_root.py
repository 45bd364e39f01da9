"""The root of all errors: how attributes become a message, JSON and a pickle. The tree itself is in ``errors``."""

import re
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar, cast, dataclass_transform
from uuid import UUID

from typing_extensions import override

SHOWN_LENGTH = 80
TOLD_LENGTH = 1_000
"""Characters of an attribute in a message; the attribute itself has them all."""
_TWO_ENDS = re.compile(r"([.?!])\.$")


def shown(value: object) -> str:
    """Give a caller's own value as an error shows it: its repr, cut to 80 characters."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # a huge int, a deep nest, a broken __repr__: an error must still be told
        text = f"a {type(value).__name__}"
    return text if len(text) <= SHOWN_LENGTH else text[: SHOWN_LENGTH - 1] + "…"


@dataclass_transform(kw_only_default=True, eq_default=False)
@dataclass(eq=False, kw_only=True, repr=False)
class ActionLedgerError(Exception):
    """The action ledger could not do what was asked."""

    code: ClassVar[str] = "error"
    hint: ClassVar[str | None] = None

    def __init_subclass__(cls, *, code: str, hint: str | None = None) -> None:
        """Set the class's code and hint; make its annotated attributes arguments of its constructor."""
        super().__init_subclass__()
        cls.code = code
        cls.hint = hint
        dataclass(eq=False, kw_only=True, repr=False)(cls)

    def __post_init__(self) -> None:
        """Keep the message where tools that know only exceptions look for it."""
        self.args = (self.message,)

    @property
    def attributes(self) -> dict[str, Any]:
        """The typed attributes by name, in the order of their declaration."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def advice(self) -> str | None:
        """What to do about it; a class may say more here than its constant hint."""
        return self.hint

    @property
    def message(self) -> str:
        """What happened, to what, and what to do."""
        # Under python -OO there are no docstrings: the code is then all that is left to say.
        what = (type(self).__doc__ or self.code).strip().format_map(_Shown(self))
        # What an attribute says may end its sentence already.
        what = _TWO_ENDS.sub(r"\1", what)
        return f"{what} {self.advice}" if self.advice else what

    def to_dict(self) -> dict[str, Any]:
        """Give the error as JSON values: ``code``, ``message``, and each attribute by its name."""
        attributes = {name: _as_json(value) for name, value in self.attributes.items()}
        return {"code": self.code, "message": self.message, **attributes}

    @override
    def __str__(self) -> str:
        """Give the message."""
        return self.message

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by attributes: an exception's own way would give the message to the constructor."""
        return _restore, (type(self), self.attributes)


class Refused(ActionLedgerError, code="refused"):  # noqa: N818 - as in errors.py
    """The command was refused."""


class _Shown:
    """The attributes and properties of an error, as the template of its message reads them."""

    def __init__(self, error: ActionLedgerError) -> None:
        self._error = error

    def __getitem__(self, name: str) -> str:
        text = str(_as_json(getattr(self._error, name)))
        return text if len(text) <= TOLD_LENGTH else text[: TOLD_LENGTH - 1] + "…"


def _restore(error: type[ActionLedgerError], attributes: dict[str, Any]) -> ActionLedgerError:
    return error(**attributes)


def _as_json(value: object) -> object:
    match value:
        case tuple():
            return list(cast("tuple[object, ...]", value))
        case datetime():
            return value.isoformat()
        case UUID():
            return str(value)
        case _:
            return value
