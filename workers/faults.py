"""Which faults of the database concern one record, which pass by themselves, and which concern everything.

The classes are PostgreSQL's: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from enum import StrEnum
from typing import Literal

from psycopg import Error, InterfaceError, OperationalError

from action_ledger.domain.errors import ActionLedgerError, StoreUnavailable

_ALL_CLASSES = (
    *(
        "0A",
        "0B",
        "0L",
        "0P",
        "25",
        "26",
        "28",
        "2B",
        "2D",
        "34",
        "3B",
        "3D",
        "3F",
        "42",
        "54",
        "55",
    ),
    *("72", "F0", "HV", "XX"),
)
"""What the statement, the session, the rights or the server are to blame for. All other classes are a record's:
its data, the constraints and triggers that judge them, and the SQLSTATEs that people make up for RAISE."""
_RECORD_CODES = frozenset({"54000", "54001"})
"""A limit (a row or a batch's images too large, a trigger that calls itself): smaller slices may pass."""
_RAISE = "exec_stmt_raise"
"""The server's function behind RAISE: whatever SQLSTATE it was given, a trigger speaks of a record."""
_CHECK_OPTION = "ExecWithCheckOptions"
"""The server's function that holds new rows to the policies of row-level security."""
_TOO_LARGE = "invalid memory alloc request size"
"""Said with the SQLSTATE of an internal error when an image, or an array of them, passes one gigabyte."""
_PASSING_CODES = frozenset({"40001", "40P01", "55P03", "55006", "25P03", "25P04", "25006"})
"""Serialization failure, deadlock, lock not available, object in use, the time-outs of a transaction, and a server that
takes no writes at the moment, such as one that another has taken the place of."""
_PASSING_CLASSES = ("08", "53", "57", "58")
"""The connection, resources, an operator's intervention (with the time-outs of a statement and a session), the system."""
_WAITED_OUT_CODES = frozenset({"40001", "40P01", "55P03", "55006", "57P03"})
_WAITED_OUT_CLASSES = ("53",)
"""Somebody else is in the way, or room is short: worth many tries, since it is not the unit's own fault."""
_VERSIONS = "stored_events_pkey"
UNEXPECTED = "unexpected_error"
TRIES = 10
PATIENT_TRIES = 500
"""About twenty minutes, at the longest delay between two tries."""


class Scope(StrEnum):
    """Whom a fault concerns."""

    RECORD = "record"
    """One record, or a few: the others go on without it."""
    PASSING = "passing"
    """The moment: the same will go through later."""
    ALL = "all"
    """Every record alike: trying again does not help."""


def scope_of(error: Error) -> Scope:
    """Say whom an error of the driver concerns. One of the driver's own is a lost connection, or a fault of ours."""
    code = error.sqlstate
    if code is None:
        return Scope.PASSING if isinstance(error, OperationalError | InterfaceError) else Scope.ALL
    if code in _PASSING_CODES or code.startswith(_PASSING_CLASSES):
        return Scope.PASSING
    if _is_stale_plan(error) or _is_stale_version(error):
        return Scope.PASSING
    if code in _RECORD_CODES or not code.startswith(_ALL_CLASSES):
        return Scope.RECORD
    one = _is_raised(error) or _is_too_large(error) or _is_policy(error)
    return Scope.RECORD if one else Scope.ALL


def _is_stale_plan(error: Error) -> bool:
    """Say whether a prepared statement met a table that was altered: prepared anew, it will do."""
    return error.sqlstate == "0A000" and error.diag.source_function == "RevalidateCachedQuery"


def _is_stale_version(error: Error) -> bool:
    """Say whether the log has another event of that version: what was looked at before it was the older state."""
    return error.sqlstate == "23505" and error.diag.constraint_name == _VERSIONS


def _is_raised(error: Error) -> bool:
    return error.diag.source_function == _RAISE


def _is_policy(error: Error) -> bool:
    """Say whether a row would not be within a policy any more, which has the SQLSTATE of a missing right."""
    return error.diag.source_function == _CHECK_OPTION


def _is_too_large(error: Error) -> bool:
    return (error.diag.message_primary or "").startswith(_TOO_LARGE)


def split_reason(
    error: Error, *, ordered: bool
) -> Literal["timed_out", "deadlock", "too_large"] | None:
    """Say why a batch that met this error should be tried again in smaller ones; None when that would not help.

    ``ordered`` says that its rows were taken in order, as they are from the second attempt on.
    """
    match error.sqlstate:
        case "57014" | "25P04":
            return "timed_out"
        case "40P01":
            return "deadlock" if ordered else None
        case "53200" | "53400":
            return "too_large"
        case "54000" if not _is_raised(error):
            return "too_large"
        case _:
            return "too_large" if _is_too_large(error) else None


def is_waited_out(error: Error) -> bool:
    """Say whether somebody else is in the way, or room is short."""
    code = error.sqlstate or ""
    waited_out = code in _WAITED_OUT_CODES or code.startswith(_WAITED_OUT_CLASSES)
    return waited_out or _is_stale_plan(error)


def may_try_again(error: Error, *, attempt: int, faults: int) -> bool:
    """Say whether a unit that meets this error is put off rather than failed.

    Of its ``attempt`` tries, this one among them, ``faults`` ended by a fault of its own before. Each kind has
    its own budget, so that many waits for others leave the few tries of its own as they are.
    """
    return (attempt - faults if is_waited_out(error) else faults + 1) < tries_of(error)


def tries_of(error: Error) -> int:
    """Say how often something is tried that meets this error, and nothing else."""
    if scope_of(error) is not Scope.PASSING:
        return 1
    return PATIENT_TRIES if is_waited_out(error) else TRIES


def message_of(error: Error) -> str:
    """Give what the database said, with its detail. It may hold values of the record: it stays out of events."""
    primary = error.diag.message_primary or " ".join(str(error).split()) or type(error).__name__
    return f"{primary} ({error.diag.message_detail})" if error.diag.message_detail else primary


def passes(error: Exception) -> bool:
    """Say whether a fault of any kind is one of the moment."""
    if isinstance(error, Error):
        return scope_of(error) is Scope.PASSING
    return isinstance(error, StoreUnavailable)


def code_of(error: Exception) -> str:
    """Name a fault for events and for the queue: by its SQLSTATE, or its code in the tree of errors."""
    match error:
        case Error(sqlstate=str(code)):
            return code
        case OperationalError() | InterfaceError():
            return "connection_lost"
        case ActionLedgerError():
            return error.code
        case _:
            return UNEXPECTED
