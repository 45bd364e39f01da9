"""Finds the host's ledger by ``module:attribute``, as servers and task queues find the applications they run."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from action_ledger.domain.errors import ActionLedgerError, AppNotFound, InvalidApp, shown

from .ledger import Ledger


def load_ledger(app: str) -> Ledger:
    """Give the ledger that ``shop.ledger:ledger`` names: a Ledger, or a function that opens one.

    The working directory is looked in as well. What the host's own code raises of the ledger's errors is raised as
    it is.

    Raises:
        AppNotFound: There is no such module, or it has no such attribute.
        InvalidApp: It is not written so, its code raises something else, or it is no ledger.
    """
    module, colon, path = app.partition(":")
    if not (colon and module and path):
        raise InvalidApp(app=app, detail="it is not written as module:attribute")
    found = _import(app, module)
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            detail = f"{shown(found)} has no attribute {name}"
            raise AppNotFound(app=app, detail=detail) from error
    ledger = _call(app, found) if callable(found) else found
    if not isinstance(ledger, Ledger):
        what = "what it returned" if callable(found) else "it"
        raise InvalidApp(app=app, detail=f"{what} is {shown(ledger)}, and no Ledger")
    return ledger


def _import(app: str, module: str) -> Any:  # noqa: ANN401 - the host's own
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            detail = f"there is no module {error.name} here or among what is installed"
            raise AppNotFound(app=app, detail=detail) from error
        raise _raised(app, error) from error  # one that the module itself wants
    except ActionLedgerError:
        raise
    except Exception as error:
        raise _raised(app, error) from error


def _call(app: str, factory: Any) -> object:  # noqa: ANN401 - the host's own
    try:
        opened: object = factory()
    except ActionLedgerError:
        raise
    except Exception as error:
        raise _raised(app, error) from error
    return opened


def _raised(app: str, error: Exception) -> InvalidApp:
    return InvalidApp(app=app, detail=f"its code raised {type(error).__name__}: {error}")
