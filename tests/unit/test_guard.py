"""The guard of a service's threads: which faults end the service, which are waited out, and for how long."""

import logging
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest

from action_ledger.ops import guard
from action_ledger.ops.guard import RESTARTS, Guard
from action_ledger.ops.outage import Outage


class Over(threading.Event):
    """The sign to stop, on which no time is spent; it keeps what would have been."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        return self.is_set()


def guarded(faults: Iterator[Exception], *, away: float = 0.0) -> tuple[list[BaseException], Over]:
    """Run a body that meets one fault after the other, and then ends; give what ended the service, and the waits."""
    over, ended = Over(), list[BaseException]()

    def fail(error: BaseException) -> None:
        ended.append(error)
        over.set()

    def body() -> None:
        if (fault := next(faults, None)) is not None:
            raise fault

    thread = Guard("w", met=lambda _: away, fail=fail).thread("t", body, over)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    return ended, over


def many(make: Callable[[], Exception], count: int) -> Iterator[Exception]:
    return (make() for _ in range(count))


def test_a_few_unforeseen_faults_are_borne_and_one_more_is_not() -> None:
    assert guarded(many(KeyError, RESTARTS))[0] == []
    (error,), over = guarded(many(KeyError, RESTARTS + 5))
    assert isinstance(error, KeyError)
    assert len(over.waits) == RESTARTS + 1, "it is not started once more"


def test_old_faults_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "RESTARTS_WITHIN", 0.0)
    assert guarded(many(KeyError, 5 * RESTARTS))[0] == []


def test_an_outage_is_waited_out_however_long_it_is() -> None:
    ended, over = guarded(many(lambda: psycopg.OperationalError("away"), 50), away=8.0)
    assert ended == []
    assert len(over.waits) == 50
    assert all(2.0 <= wait <= 4.0 for wait in over.waits), "in proportion to the outage"
    assert len(set(over.waits)) > 10, "never in step with others"


@pytest.mark.parametrize(("away", "longest"), [(0.0, 0.1), (1.0, 0.5), (3600.0, 10.0)])
def test_the_next_look_is_neither_at_once_nor_too_late(away: float, longest: float) -> None:
    _, over = guarded(many(lambda: psycopg.InterfaceError("away"), 50), away=away)
    assert longest / 2 <= min(over.waits) <= max(over.waits) <= longest


def test_an_outage_begins_anew_after_its_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1_000.0
    monkeypatch.setattr("action_ledger.ops.outage.time.monotonic", lambda: now)
    outage, lost = Outage(), psycopg.OperationalError("away")
    assert outage.met(lost) == 0.0
    now += 30
    assert outage.met(lost) == 30.0
    outage.over()
    outage.over()
    now += 30
    assert outage.met(lost) == 0.0
    told = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert told == [
        "The store is out of reach: away",
        "The store is back after 30.0 s",
        "The store is out of reach: away",
    ]
