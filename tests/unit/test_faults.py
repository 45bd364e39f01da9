"""Which fault concerns whom, and how often it is borne: by SQLSTATE, without a database."""

from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from psycopg.errors import lookup

from action_ledger.workers import loop
from action_ledger.workers.faults import (
    PATIENT_TRIES,
    TRIES,
    Scope,
    is_waited_out,
    may_try_again,
    scope_of,
    split_reason,
    tries_of,
)

WAITED_OUT = {
    "40001": "serialization failure",
    "40P01": "deadlock",
    "55P03": "lock not available",
    "55006": "object in use",
    "53100": "disk full",
    "53200": "out of memory",
    "53300": "too many connections",
    "57P03": "cannot connect now",
}
PASSING = {
    "08006": "connection failure",
    "25P03": "idle in transaction",
    "25P04": "transaction timeout",
    "25006": "read only",
    "57014": "statement timeout",
    "57P01": "admin shutdown",
    "57P02": "crash shutdown",
    "57P05": "idle session",
    "58030": "input or output error",
}
OF_A_RECORD = {
    "22001": "too long",
    "23502": "not null",
    "23503": "foreign key",
    "23505": "unique",
    "23514": "check",
    "P0001": "raised by a trigger",
    "54001": "a trigger that calls itself",
}
OF_ALL = {
    "42501": "no right",
    "42703": "no such column",
    "42P01": "no such table",
    "0A000": "not supported",
    "55000": "not in the right state",
    "XX000": "internal error",
}


@pytest.mark.parametrize(
    ("codes", "scope", "tries"),
    [
        (WAITED_OUT, Scope.PASSING, PATIENT_TRIES),
        (PASSING, Scope.PASSING, TRIES),
        (OF_A_RECORD, Scope.RECORD, 1),
        (OF_ALL, Scope.ALL, 1),
    ],
)
def test_whom_it_concerns_and_how_often_it_is_borne(
    codes: dict[str, str], scope: Scope, tries: int
) -> None:
    found = {code: (scope_of(lookup(code)()), tries_of(lookup(code)())) for code in codes}
    assert found == dict.fromkeys(codes, (scope, tries))


def test_a_lost_connection_has_no_code() -> None:
    for kind in (psycopg.OperationalError, psycopg.InterfaceError):
        assert scope_of(kind("lost")) is Scope.PASSING
        assert not is_waited_out(kind("lost"))
    assert scope_of(psycopg.ProgrammingError("a fault of ours")) is Scope.ALL


def test_each_kind_has_its_own_budget() -> None:
    wait, own = lookup("55P03")(), lookup("57P01")()
    assert may_try_again(wait, attempt=PATIENT_TRIES - 1, faults=0)
    assert not may_try_again(wait, attempt=PATIENT_TRIES, faults=0)
    assert may_try_again(wait, attempt=PATIENT_TRIES + 8, faults=9)
    assert may_try_again(own, attempt=400, faults=TRIES - 2)
    assert not may_try_again(own, attempt=400, faults=TRIES - 1)
    assert not may_try_again(lookup("23505")(), attempt=1, faults=0)


def test_after_which_a_batch_is_split() -> None:
    reasons = {code: split_reason(lookup(code)(), ordered=True) for code in WAITED_OUT | PASSING}
    assert {code: reason for code, reason in reasons.items() if reason} == {
        "25P04": "timed_out",
        "40P01": "deadlock",
        "53200": "too_large",
        "57014": "timed_out",
    }
    assert split_reason(lookup("40P01")(), ordered=False) is None


class TooLarge(psycopg.errors.InternalError_):
    """What the server says of an image that passes a gigabyte."""

    @property
    def diag(self) -> Any:
        said = "invalid memory alloc request size 1073741824"
        return SimpleNamespace(message_primary=said, source_function="palloc")


def test_too_large_for_the_server_is_for_smaller_slices() -> None:
    assert scope_of(TooLarge()) is Scope.RECORD
    assert split_reason(TooLarge(), ordered=False) == "too_large"


def test_who_waits_after_a_fault_waits_longer_each_time_and_never_in_step() -> None:
    waits = {attempt: [loop._delay(attempt) for _ in range(200)] for attempt in (1, 4, 40)}
    longest = {attempt: max(found) for attempt, found in waits.items()}
    assert loop.FIRST_DELAY < longest[1] <= 2 * loop.FIRST_DELAY
    assert 8 * loop.FIRST_DELAY < longest[4] <= 16 * loop.FIRST_DELAY
    assert loop.LONGEST_DELAY / 2 < longest[40] <= loop.LONGEST_DELAY
    assert all(min(found) < longest[attempt] / 2 for attempt, found in waits.items())
