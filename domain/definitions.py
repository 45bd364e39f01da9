"""Definitions: how a function, or a class, becomes an action.

What is not said is taken from the function: its name, a label of it, the first paragraph of its docstring, and the
parameter model of the annotation. A class says more in one place: each of its public attributes is one of the
action's fields, its ``handler`` a method.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any, TypedDict, TypeVar, Unpack, get_type_hints, overload

from pydantic import BaseModel

from .actions import Action, AfterComplete, Parameters, Reversibility
from .effects import Compensate, Effect
from .errors import InvalidAction
from .record_actions import RecordAction
from .set_actions import SetAction

Source = Callable[..., Any] | type[Any]
A = TypeVar("A", bound=Action)
_CAPITALS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Options(TypedDict, total=False):
    """What may be said of any action."""

    name: str
    parameters: type[Parameters]
    label: str
    description: str
    destructive: bool
    reversibility: Reversibility
    queue: str
    batch_size: int
    after_complete: AfterComplete


class RecordOptions(Options, total=False):
    """What may be said of a record action."""

    model: type[BaseModel]
    columns: tuple[str, ...]
    timeout: float


class EffectOptions(Options, total=False):
    """What may be said of an effect."""

    compensate: Compensate
    concurrency: int
    timeout: float
    columns: tuple[str, ...]


@overload
def set_action(source: Source, /) -> SetAction: ...
@overload
def set_action(**options: Unpack[Options]) -> Callable[[Source], SetAction]: ...
def set_action(source: Source | None = None, /, **options: Any) -> Any:
    """Make a set action of a function from parameters to columns, or of a class. Raises InvalidAction."""
    return _made(SetAction, source, options)


@overload
def record_action(source: Source, /) -> RecordAction: ...
@overload
def record_action(**options: Unpack[RecordOptions]) -> Callable[[Source], RecordAction]: ...
def record_action(source: Source | None = None, /, **options: Any) -> Any:
    """Make a record action of a function from record and parameters to changes, or of a class.

    Raises InvalidAction.
    """
    return _made(RecordAction, source, options)


@overload
def effect(source: Source, /) -> Effect: ...
@overload
def effect(**options: Unpack[EffectOptions]) -> Callable[[Source], Effect]: ...
def effect(source: Source | None = None, /, **options: Any) -> Any:
    """Make an effect of a function from record, parameters and context to a result, or of a class.

    Raises InvalidAction.
    """
    return _made(Effect, source, options)


def _made(kind: type[A], source: Source | None, options: dict[str, Any]) -> Any:  # noqa: ANN401 - an action, or what makes one
    return partial(_define, kind, options) if source is None else _define(kind, options, source)


def _define(kind: type[A], options: dict[str, Any], source: Source) -> A:
    name = str(options.get("name") or getattr(source, "__name__", ""))
    given: dict[str, Any]
    if inspect.isclass(source):
        given = _from_class(kind, name, source)
        name = _CAPITALS.sub("_", name).lower()
    else:
        given = {"handler": source}
    given |= options
    given.setdefault("name", name)
    given.setdefault("label", given["name"].replace("_", " ").capitalize())
    given.setdefault("description", _paragraph(source))
    if "parameters" not in given:
        given["parameters"] = _annotated(kind, given["name"], given.get("handler"))
    try:
        return kind(**given)
    except TypeError as error:  # an option that it has not, or a handler that is missing
        raise InvalidAction(action=given["name"], detail=str(error)) from error


def _from_class(kind: type[A], name: str, source: type[Any]) -> dict[str, Any]:
    """Take the fields from an instance, so that methods come without their ``self``."""
    known = {field.name for field in fields(kind)}
    said = {each for base in source.__mro__[:-1] for each in vars(base) if not each.startswith("_")}
    if unknown := said - known:
        detail = (
            f"{kind.__name__} has no {', '.join(sorted(unknown))}; names of helpers begin with _"
        )
        raise InvalidAction(action=name, detail=detail)
    try:
        instance = source()
    except TypeError as error:
        raise InvalidAction(
            action=name, detail=f"its class is made without arguments: {error}"
        ) from error
    return {each: getattr(instance, each) for each in said}


def _paragraph(source: Source) -> str:
    text = inspect.getdoc(source) or ""
    return " ".join(text.split("\n\n", 1)[0].split())


def _annotated(kind: type[Action], name: str, handler: Any) -> type[Parameters]:  # noqa: ANN401 - checked later
    """Find the parameter model in the annotations of the handler."""
    place = 0 if kind is SetAction else 1
    try:
        names = list(inspect.signature(handler).parameters)
        found: type[Parameters] = get_type_hints(handler)[names[place]]
    except (TypeError, ValueError, NameError, KeyError, IndexError) as error:
        detail = "annotate the parameters of its function with their model, or give parameters="
        raise InvalidAction(action=name, detail=detail) from error
    return found
