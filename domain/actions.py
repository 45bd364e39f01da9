"""Actions: a name, a typed parameter model, and what is to be known before one is run.

Built-in actions enter the registry by the same door as anybody's own. What an action does is said by its kind: a
``SetAction``, a ``RecordAction`` or an ``Effect`` of the host's own, or a ``BuiltIn``.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, NoReturn

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, ValidationError

from .errors import InvalidAction, InvalidParameters, UnknownAction, shown
from .expression import Assignment
from .findings import wrong_fields
from .hooks import Notice
from .pace import MAX_BATCH_SIZE

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")


class Parameters(BaseModel):
    """The base of every action's parameter model."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class UpdateParameters(Parameters):
    """Columns to set: each to a constant, or to an expression over the record's own columns."""

    values: dict[str, Assignment] = Field(min_length=1)


class DeleteParameters(Parameters):
    """``hard`` takes the rows out of the table; otherwise the soft-delete column is marked."""

    hard: StrictBool = False


class RestoreParameters(Parameters):
    """``mark`` says what is taken off: the soft-delete mark where the table has one, else the archive mark."""

    mark: Literal["deleted", "archived"] | None = None


class ArchiveParameters(Parameters):
    """``reason`` goes to the table's reason column, when it has one, and to the audit in any case."""

    reason: str | None = None


class ExportFormat(StrEnum):
    """What a file of records may be; the value is its usual suffix too."""

    CSV = "csv"
    XLSX = "xlsx"
    JSON = "json"
    NDJSON = "ndjson"
    XML = "xml"
    PDF = "pdf"
    PARQUET = "parquet"


def _a_file(path: str) -> str:
    if "\0" in path:
        message = "a path cannot hold the character NUL"
        raise ValueError(message)
    if path.endswith(("/", "/.")) or path == "." or ".." in PurePosixPath(path).parts:
        message = "it is to be the path of a file, without .. in it"
        raise ValueError(message)
    return path


class ExportParameters(Parameters):
    """``path`` is within the directory for exports where it is relative, and taken as it is where it is absolute.

    ``columns`` are in the order of the file; None means all. ``escape_formulas`` keeps a program that opens a CSV
    from taking a text for a formula.
    """

    path: Annotated[str, Field(min_length=1, max_length=4_000), AfterValidator(_a_file)]
    format: ExportFormat
    columns: tuple[str, ...] | None = Field(default=None, min_length=1)
    overwrite: StrictBool = False
    escape_formulas: StrictBool = True


class Reversibility(StrEnum):
    """What an undo can do about an action."""

    REVERSIBLE = "reversible"
    """The ledger brings the records back from the change sets."""
    COMPENSABLE = "compensable"
    """The action brings them back itself, as well as that can be done."""
    IRREVERSIBLE = "irreversible"


AfterComplete = Callable[[Notice, Any], Awaitable[object] | object]
"""Takes the notice of a hook and the action's parameters; a plain function or an ``async`` one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What the ledger knows of an action before it runs. Raises InvalidAction when its parts do not go together."""

    kind: ClassVar[str] = "action"

    name: str
    """What commands call it: letters, digits and ``_ . -``."""
    parameters: type[Parameters]
    label: str
    description: str
    destructive: bool = False
    """Whether a person is asked before it runs."""
    reversibility: Reversibility = Reversibility.REVERSIBLE
    queue: str | None = None
    """The queue that its executions go to where the request names none; None leaves it to the settings."""
    batch_size: int | None = None
    """Records of a batch where the request does not say; None leaves it to the settings."""
    after_complete: AfterComplete | None = None
    """Called as a hook is, at least once, after the commit of each completion of an execution."""

    def __post_init__(self) -> None:
        """Check what a type cannot say, and what it says to those who have none."""
        if not NAME.fullmatch(str(self.name)):
            self.refuse("its name is a letter, then letters, digits and _ . - (100 at most)")
        model: Any = self.parameters
        if not (inspect.isclass(model) and issubclass(model, Parameters)):
            self.refuse("its parameters are a class that extends Parameters")
        if not (self.label and self.description):
            self.refuse("a label and a description say to people what it does")
        if self.queue is not None and not self.queue.strip():
            self.refuse("its queue has a name")
        if self.batch_size is not None and not 1 <= self.batch_size <= MAX_BATCH_SIZE:
            self.refuse(f"its batch_size is from 1 to {MAX_BATCH_SIZE:,}")
        if self.after_complete is not None:
            self.require_call(self.after_complete, "notice", "parameters", is_async=True)

    def refuse(self, detail: str) -> NoReturn:
        """Raise InvalidAction."""
        raise InvalidAction(action=str(self.name), detail=detail)

    def require_call(
        self, function: Callable[..., Any], *given: str, is_async: bool = False
    ) -> None:
        """Make sure that a function can be called with these arguments; raise InvalidAction."""
        if not callable(function):
            self.refuse(f"{function!r} cannot be called")
        if not is_async and inspect.iscoroutinefunction(function):
            self.refuse(
                "its function runs within a transaction, so it is no async one; an effect may be"
            )
        if not takes(function, len(given)):
            self.refuse(f"{inspect.unwrap(function)!r} has to take ({', '.join(given)})")


def takes(function: Callable[..., Any], arguments: int) -> bool:
    """Say whether a function can be called with so many arguments, as far as Python can tell."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some of the interpreter's own have none
        return True
    try:
        signature.bind(*range(arguments))
    except TypeError:
        return False
    return True


class BuiltIn(Action):
    """An action of the ledger's own."""

    __slots__ = ()
    kind = "built_in"


def require_reversal(action: Action) -> None:
    """Refuse a compensation of what the ledger takes back by itself; raise InvalidAction."""
    if action.reversibility is Reversibility.COMPENSABLE:
        action.refuse("the ledger brings back what it changed; only an effect is compensable")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportAction(BuiltIn):
    """The action that writes files, with what the ledger's settings say of it."""

    directory: Path = Path("exports")
    """Where files with a relative path go."""
    max_records: int = 1_000_000
    """Records that a file may have."""
    font: Path | None = None
    """A TrueType font that a PDF is set in; None is one for Latin scripts."""


class Actions:
    """The registry: actions by name."""

    def __init__(self, actions: Iterable[Action]) -> None:
        """Raises InvalidAction when two have one name, and for what is no action of a known kind."""
        self._actions: dict[str, Action] = {}
        for given in actions:
            action = _checked(given)
            if action.name in self._actions:
                detail = "another action has this name"
                raise InvalidAction(action=action.name, detail=detail)
            self._actions[action.name] = action

    def __iter__(self) -> Iterator[Action]:
        return iter(self._actions.values())

    def find(self, name: str) -> Action | None:
        """Find an action; None when there is none of the name."""
        return self._actions.get(name)

    def get(self, name: str) -> Action:
        """Find an action. Raises UnknownAction, which names the others."""
        try:
            return self._actions[name]
        except KeyError:
            raise UnknownAction(action=name, known=tuple(sorted(self._actions))) from None

    def validate(self, name: str, parameters: Mapping[str, object]) -> Parameters:
        """Check parameters against the action's model. Raises InvalidParameters with what is wrong where."""
        try:
            return self.get(name).parameters.model_validate(parameters)
        except ValidationError as error:
            raise InvalidParameters(action=name, detail=wrong_fields(error)) from error


def _checked(given: object) -> Action:
    if not isinstance(given, Action):
        detail = "it is none; @set_action, @record_action and @effect make one of a function"
        raise InvalidAction(action=shown(given), detail=detail)
    if type(given) is Action:
        given.refuse("it is a SetAction, a RecordAction or an Effect, which say what it does")
    return given


BUILT_IN: tuple[Action, ...] = (
    BuiltIn(
        name="update",
        parameters=UpdateParameters,
        label="Update",
        description="Set columns to constants or to expressions over the record's own columns.",
    ),
    BuiltIn(
        name="delete",
        parameters=DeleteParameters,
        label="Delete",
        description="Mark records as deleted, or take them out of the table when hard is asked for.",
        destructive=True,
    ),
    BuiltIn(
        name="restore",
        parameters=RestoreParameters,
        label="Restore",
        description="Take the mark of a soft delete, or of the archive, off again.",
    ),
    BuiltIn(
        name="archive",
        parameters=ArchiveParameters,
        label="Archive",
        description="Mark records as archived, with a reason.",
        destructive=True,
    ),
    ExportAction(
        name="export",
        parameters=ExportParameters,
        label="Export",
        description="Write records to a file: CSV, XLSX, JSON, NDJSON, XML, PDF or Parquet.",
        reversibility=Reversibility.IRREVERSIBLE,
    ),
)
