"""How large a command may be, looked at before it is copied, compiled or written: what is larger is refused.

The largest list of keys has no bound here: it travels beside its command, key by key.
"""

from collections.abc import Iterable, Mapping
from typing import cast

from pydantic import BaseModel

from .columns import Operand
from .error_invalid import CommandTooLarge
from .expression import ExpressionNode
from .selection import PredicateNode
from .values import MAX_TEXT

MAX_LEVELS = 200
"""How deep a command may be nested; one more condition inside another takes two levels."""
MAX_TERMS = 10_000
"""Comparisons, expressions, and what joins them, in one command. A list of values is one of them."""


def check_size(command: object) -> None:
    """Raise CommandTooLarge for a command, or a part of one, that is nested too deeply, or too long.

    It walks without recursion, and copies no text.
    """
    terms = characters = 0
    waiting: list[tuple[object, int]] = [(command, 0)]
    while waiting:
        value, level = waiting.pop()
        if isinstance(value, str | bytes | bytearray):
            characters += len(value)
        elif (inner := _inside(value)) is not None:
            terms += isinstance(value, PredicateNode | ExpressionNode)
            if level == MAX_LEVELS:
                detail = f"it is nested more than {MAX_LEVELS} levels deep, or contains itself"
                raise CommandTooLarge(detail=detail)
            waiting.extend((each, level + 1) for each in inner)
        if terms > MAX_TERMS:
            detail = f"its conditions and expressions have more than {MAX_TERMS:,} terms"
            raise CommandTooLarge(detail=detail)
        if characters > MAX_TEXT:
            raise CommandTooLarge(detail=f"its texts have more than {MAX_TEXT:,} characters in all")


def _inside(value: object) -> Iterable[object] | None:
    """Give what a value holds; None for a value that holds nothing."""
    match value:
        case Operand():
            return (value.expression,)
        case BaseModel():
            return value.__dict__.values()
        case Mapping():
            items = cast("Mapping[object, object]", value)
            return (*items.keys(), *items.values())
        case list() | tuple() | set() | frozenset():
            return cast("Iterable[object]", value)
        case _:
            return None
