"""From what was typed to a request: conditions, keys, parameters and options, each checked where it is read."""

import json
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import IO, Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from action_ledger.domain.actions import BUILT_IN, ArchiveParameters, UpdateParameters
from action_ledger.domain.actor import Asker
from action_ledger.domain.errors import InvalidParameters, SelectionTwice, UnreadableInput, shown
from action_ledger.domain.findings import wrong_fields
from action_ledger.domain.selection import And, Predicate

from .builder import Request
from .cli_conditions import parse_conditions
from .ledger import Ledger
from .target import Target

Value = TypeVar("Value")
STANDARD_INPUT = "-"
_PREDICATE: TypeAdapter[Predicate] = TypeAdapter(Predicate)
_UPDATE = next(action.name for action in BUILT_IN if action.parameters is UpdateParameters)
_ARCHIVE = next(action.name for action in BUILT_IN if action.parameters is ArchiveParameters)


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """The options that choose records; exactly one kind of them is to be given."""

    where: tuple[str, ...] = ()
    where_json: str | None = None
    keys: str | None = None
    keys_file: str | None = None
    everything: bool = False

    def apply(self, target: Target) -> Target:
        """Choose the records. Raises what cannot be read, or SelectionTwice where two kinds are given."""
        given = {
            "--where": bool(self.where or self.where_json),
            "--keys": self.keys is not None,
            "--keys-file": self.keys_file is not None,
            "--all": self.everything,
        }
        kinds = [name for name, is_given in given.items() if is_given]
        if len(kinds) > 1:
            raise SelectionTwice(first=kinds[0], second=kinds[1])
        if self.everything:
            return target.all()
        if self.keys is not None:
            return target.keys(split_keys(self.keys))
        if self.keys_file is not None:
            return target.keys(read_keys(self.keys_file))
        predicate = self._predicate()
        return target if predicate is None else target.where(predicate)

    def _predicate(self) -> Predicate | None:
        predicate = parse_conditions(self.where)
        if self.where_json is None:
            return predicate
        try:
            more = _PREDICATE.validate_python(read_json(self.where_json, "--where-json"))
        except ValidationError as error:
            raise UnreadableInput(source="--where-json", detail=wrong_fields(error)) from error
        return more if predicate is None else And(terms=(predicate, more))


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """The options that become parameters of the action."""

    set_: tuple[str, ...] = ()
    set_null: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    params_json: str | None = None
    hard: bool = False
    mark: str | None = None
    to: str | None = None
    format_: str | None = None
    columns: str | None = None
    overwrite: bool = False
    reason: str | None = None

    def parameters(self, action: str) -> dict[str, Any]:
        """Put the parameters together; what the action does not take, its own model refuses."""
        found: dict[str, Any] = {}
        if self.params_json is not None:
            given = read_json(self.params_json, "--params-json")
            if not isinstance(given, dict):
                raise UnreadableInput(source="--params-json", detail="it is not a JSON object")
            found.update(cast("dict[str, Any]", given))
        # As text: the action's own model reads a number, a date or a truth value out of it.
        params = [_assigned(action, "--param", text, "name") for text in self.params]
        found.update(_each_once(action, params, "--param {name}"))
        values = self._values(action)
        if action != _UPDATE and values:
            detail = f"--set and --set-null belong to {_UPDATE}"
            raise InvalidParameters(action=action, detail=detail)
        if action == _UPDATE and not values and "values" not in found:
            detail = "nothing is set; --set column=value or --set-null column says what"
            raise InvalidParameters(action=action, detail=detail)
        if values:
            found["values"] = {**found.get("values", {}), **values}
        if self.hard:
            found["hard"] = True
        if self.mark is not None:
            found["mark"] = self.mark
        found |= self._file()
        if action == _ARCHIVE and self.reason is not None:
            found.setdefault("reason", self.reason)
        return found

    def _values(self, action: str) -> dict[str, str | None]:
        """Give what columns are set to, each once."""
        values: list[tuple[str, str | None]] = [
            *(_assigned(action, "--set", text, "column") for text in self.set_),
            *((name, None) for name in self.set_null),
        ]
        return _each_once(action, values, "the column {name}")

    def _file(self) -> dict[str, Any]:
        """Give what was said of a file; the suffix of its name is its format, if nothing else is."""
        found: dict[str, Any] = {}
        if self.to is not None:
            found = {"path": self.to, "format": PurePath(self.to).suffix.removeprefix(".")}
        if self.format_ is not None:
            found["format"] = self.format_
        if self.columns is not None:
            found["columns"] = [name.strip() for name in self.columns.split(",")]
        return {**found, "overwrite": True} if self.overwrite else found


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A whole request as it was typed."""

    table: str
    action: str
    chosen: Chosen
    told: Told
    by: Asker | None = None
    once: str | None = None
    batch_size: int | None = None
    adaptive: float | None = None
    rate: float | None = None
    concurrency: int | None = None
    queue: str | None = None
    priority: int = 0
    undo_days: float | None = None
    irreversible: bool = False
    streaming: bool = False
    frozen: bool = False
    on_failure: str = "continue"
    max_failures: int | None = None
    max_failure_ratio: float | None = None
    on_locked: str | None = None
    settings: dict[str, str] | None = None
    role: str | None = None

    def request(self, ledger: Ledger) -> Request:
        """Build the request. Keys of a file are read when it is sent, so each request is for one use."""
        if self.undo_days is not None and self.irreversible:
            detail = "the window of an undo and its absence exclude each other"
            raise InvalidParameters(action=self.action, detail=detail)
        ledger.actions.get(self.action)
        target = self.chosen.apply(ledger.on(self.table))
        request = target.apply(self.action, **self.told.parameters(self.action))
        request = request.by(self.by or "", reason=self.told.reason)
        if self.once is not None:
            request = request.once(self.once)
        if self.batch_size is not None:
            request = request.batch_size(self.batch_size)
        if self.adaptive is not None:
            request = request.adaptive(seconds=self.adaptive)
        if self.rate is not None:
            request = request.rate(self.rate)
        if self.concurrency is not None:
            request = request.concurrency(self.concurrency)
        return self._with_terms(request)

    def _with_terms(self, request: Request) -> Request:
        queue = request.options["queue"] if self.queue is None else self.queue
        request = request.queue(queue, priority=self.priority)
        if self.undo_days is not None:
            request = request.undoable(days=self.undo_days)
        if self.irreversible:
            request = request.irreversible()
        if self.streaming:
            request = request.streaming()
        request = request.on_failure(
            self.on_failure, max_failures=self.max_failures, max_ratio=self.max_failure_ratio
        )
        if self.on_locked is not None:
            request = request.on_locked(self.on_locked)
        if self.settings is not None or self.role is not None:
            request = request.context(self.settings, role=self.role)
        return request.frozen() if self.frozen else request


def read_keys(source: str) -> Iterator[object]:
    """Read keys, one a line, as they are asked for; a line that begins with [ or " is JSON."""
    with _opened(source) as lines:
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if text:
                yield parse_key(text, f"line {number} of {_name(source)}")


def split_keys(text: str) -> list[object]:
    """Read keys that stand in one argument: separated by commas, or a JSON array of keys.

    Raises UnreadableInput for a text without any: that is an empty variable of a shell, and no choice of nothing.
    """
    if text.lstrip().startswith("["):
        return list(parse_key(text.strip(), "--keys"))
    found: list[object] = [part.strip() for part in text.split(",") if part.strip()]
    if not found:
        detail = (
            "there is no key in it, as in an empty variable of a shell; '[]' says no record at all"
        )
        raise UnreadableInput(source="--keys", detail=detail)
    return found


def parse_key(text: str, place: str) -> Any:  # noqa: ANN401 - JSON is anything
    """Read one key: its text as it stands, or JSON where it begins with [ (several columns) or a quote."""
    if not text.startswith(("[", '"')):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise UnreadableInput(source=place, detail=f"it is not JSON: {error}") from error


def read_json(source: str, option: str) -> Any:  # noqa: ANN401 - JSON is anything
    """Read JSON that is given in the argument itself, in a file, or on the standard input (-)."""
    if source.lstrip().startswith(("{", "[")):
        text, name = source, option
    else:
        name = _name(source)
        with _opened(source) as file:
            text = file.read()
    try:
        return json.loads(text)
    except ValueError as error:
        raise UnreadableInput(source=name, detail=f"it is not JSON: {error}") from error


def _assigned(action: str, option: str, text: str, what: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        detail = f"{option} takes {what}=value, and was given {shown(text)}"
        raise InvalidParameters(action=action, detail=detail)
    name, plain = name.strip(), value.lstrip()
    if text.partition("=")[0][-1].isspace() and value != plain:
        detail = (
            f"{option} {shown(text)} has spaces around =; {name}={plain} is without them,"
            f" and '{name}={value}' is a value that begins with one"
        )
        raise InvalidParameters(action=action, detail=detail)
    return name, value


def _each_once(action: str, given: Iterable[tuple[str, Value]], called: str) -> dict[str, Value]:
    """Put names and values together. Raises InvalidParameters for a name that is given twice."""
    found: dict[str, Value] = {}
    for name, value in given:
        if name in found:
            detail = (
                f"{called.format(name=shown(name))} is given twice, and can become one value only"
            )
            raise InvalidParameters(action=action, detail=detail)
        found[name] = value
    return found


@contextmanager
def _opened(source: str) -> Generator[IO[str]]:
    try:
        if source == STANDARD_INPUT:
            yield sys.stdin
        else:
            with Path(source).open(encoding="utf-8") as file:
                yield file
    except (OSError, UnicodeDecodeError) as error:
        detail = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UnreadableInput(source=_name(source), detail=detail) from error


def _name(source: str) -> str:
    return "the standard input" if source == STANDARD_INPUT else source
