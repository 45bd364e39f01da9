"""Contexts as a caller gives them, and as an execution had them."""

from collections.abc import Mapping
from uuid import UUID

from pydantic import ValidationError

from action_ledger.domain.context import Context
from action_ledger.domain.errors import ExecutionNotFound, InvalidContext
from action_ledger.domain.findings import wrong_fields
from action_ledger.projections.store import Store
from action_ledger.workers.bodies import read_body
from action_ledger.workers.compile import Request


def context_of(settings: Mapping[str, str] | None, role: str | None) -> Context | None:
    """Make a context, None of nothing. Raises InvalidContext for what is none: names of one part, values that are no text."""
    if settings is None and role is None:
        return None
    try:
        return Context.model_validate({"settings": settings or {}, "role": role})
    except ValidationError as error:
        raise InvalidContext(detail=wrong_fields(error, named=_named)) from error


def setting_of(place: str) -> str | None:
    """Give the name of the setting in which something was found; None for another field."""
    name = place.removeprefix("settings.").removesuffix(".[key]")
    return name if place.startswith("settings.") else None


def _named(place: str) -> str:
    setting = setting_of(place)
    return place if setting is None else f"setting {setting}"


def read_context(store: Store, execution_id: UUID) -> Context | None:
    """Read whose rights an execution has. Raises ExecutionNotFound."""
    with store.transaction() as transaction:
        body = read_body(transaction, execution_id)
    if body is None:
        raise ExecutionNotFound(execution_id=execution_id)
    return Request.model_validate(body).context
