"""Some work of every kind, and whether the views tell of it what the events say."""

from action_ledger.domain import col
from action_ledger.ops import Ledger
from tests.integration.conftest import PLACES


def some_work(ledger: Ledger, places: str) -> None:
    """Leave something of every kind behind: ended and open, failed and skipped, undone and redone."""
    on = ledger.on(places)
    done = on.all().update(score=col("score") + 1).by("a").batch_size(30).run()
    on.keys([1, 2, PLACES + 7]).update(name=col("name").concat("x" * 40)).by("a").run()
    done.undo(by="b").batches([1, 2]).run().redo(by="c").run()
    on.all().archive("old").by("a").batch_size(40).streaming().submit()
    half = on.all().update(note="x").by("a").batch_size(25).submit()
    ledger.worker().step(half.id)
    ledger.worker().step(half.id)
    ledger.catch_up()


def end_all(ledger: Ledger) -> None:
    """Cancel what is open: it has records locked."""
    for execution in ledger.executions():
        if execution.ended_at is None:
            ledger.execution(execution.id).cancel(by="d")


def verified(ledger: Ledger) -> list[str]:
    """Compare every view; what differs."""
    return [
        f"{each.name}: {each.difference}" for each in ledger.projections.verify() if not each.equal
    ]
