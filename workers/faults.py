"""Which faults of the database concern one record, which pass by themselves, and which concern everything.

The classes are PostgreSQL's: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from enum import StrEnum

from psycopg import Error, InterfaceError, OperationalError

from action_ledger.domain.errors import ActionLedgerError

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
_TOO_LARGE = "invalid memory alloc request size"
"""Said with the SQLSTATE of an internal error when an image, or an array of them, passes one gigabyte."""
_PASSING_CODES = frozenset({"40001", "40P01", "55P03", "55006", "57014", "25P03", "25P04", "57P05"})
"""Serialization failure, deadlock, lock not available, object in use, and the time-outs."""
_PASSING_CLASSES = ("08", "53", "57", "58")
"""The connection, resources, an operator's intervention, the system."""
_WAITED_OUT_CODES = frozenset({"40001", "40P01", "55P03", "55006", "57P03"})
_WAITED_OUT_CLASSES = ("53",)
"""Somebody else is in the way, or room is short: worth many tries, since it is not the unit's own fault."""
TRIES = 10
PATIENT_TRIES = 500
"""About twenty minutes, at the longest delay between two tries."""

UNEXPECTED = "unexpected_error"
"""Said of what is neither the database's nor a refusal of ours."""


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
    if code in _RECORD_CODES or not code.startswith(_ALL_CLASSES):
        return Scope.RECORD
    raised = error.diag.source_function == _RAISE
    too_large = (error.diag.message_primary or "").startswith(_TOO_LARGE)
    return Scope.RECORD if raised or too_large else Scope.ALL


def tries_of(error: Error) -> int:
    """Say how often a unit is tried that meets this error."""
    if scope_of(error) is not Scope.PASSING:
        return 1
    code = error.sqlstate or ""
    waited_out = code in _WAITED_OUT_CODES or code.startswith(_WAITED_OUT_CLASSES)
    return PATIENT_TRIES if waited_out else TRIES


def message_of(error: Error) -> str:
    """Give what the database said, with its detail. It may hold values of the record: it stays out of events."""
    primary = error.diag.message_primary or " ".join(str(error).split()) or type(error).__name__
    return f"{primary} ({error.diag.message_detail})" if error.diag.message_detail else primary


def code_of(error: Exception) -> str:
    """Give what events and queues say of an error: its SQLSTATE, or a stable code."""
    match error:
        case Error(sqlstate=str(code)):
            return code
        case OperationalError() | InterfaceError():
            return "connection_lost"
        case ActionLedgerError():
            return error.code
        case _:
            return UNEXPECTED
