"""Checks that each end of a chain makes, and what it says in the ledger's own words."""

from collections.abc import Iterable

from pydantic import TypeAdapter, ValidationError

from action_ledger.domain.errors import ActorMissing, InvalidParameters, InvalidValue, shown
from action_ledger.domain.findings import wrong_fields
from action_ledger.domain.selection import PredicateNode
from action_ledger.domain.text import Name

_QUEUE: TypeAdapter[str] = TypeAdapter(Name)


def invalid(action: str, error: ValidationError) -> InvalidParameters:
    """Say in the ledger's own words what pydantic found wrong with a command."""
    return InvalidParameters(action=action, detail=wrong_fields(error))


def check_predicate(given: object) -> None:
    """Raise InvalidValue for what is no condition: a text, or a truth value that Python made of one."""
    if not isinstance(given, PredicateNode):
        detail = 'a condition is made of columns, such as col("country") == "FR"'
        raise InvalidValue(value=shown(given), detail=detail)


def check_workers(workers: object) -> None:
    """Raise InvalidParameters for a number of workers that could do nothing."""
    if not isinstance(workers, int) or workers < 1:
        detail = f"the number of workers must be 1 or more, not {shown(workers)}"
        raise InvalidParameters(action="run", detail=detail)


def check_queues(queues: Iterable[str]) -> None:
    """Raise InvalidValue for a name that no queue can have, so that a worker does not wait on it for ever."""
    for name in queues:
        try:
            _QUEUE.validate_python(name)
        except ValidationError as error:
            detail = f"it is no name of a queue: {wrong_fields(error)}"
            raise InvalidValue(value=shown(name), detail=detail) from error


def check_actor(actor: object) -> None:
    """Raise ActorMissing when nobody was named; what else is wrong with a name, the command says."""
    if actor is None or (isinstance(actor, str) and not actor.strip()):
        raise ActorMissing
