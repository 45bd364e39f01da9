"""Row 7: one record, from the call to its acknowledged commit."""

from collections.abc import Callable
from itertools import count
from statistics import median

from action_ledger.domain.columns import col

from .result import Result, ratios
from .site import Site, timed
from .stock import Thing, stock_application

PAIRS = 100
WARM_UP = 15


def one_record(site: Site) -> Callable[[], None]:
    """Give what changes one record, another one each time."""
    keys = count(1)

    def run_one() -> None:
        one = site.ledger.on("public.subject").keys([next(keys) % site.rows + 1])
        one.update(status="archived", score=col("score") + 1).by("user:bench").run()

    return run_one


def measure_single(site: Site, rounds: int) -> list[Result]:
    """Change one record and save one stock aggregate, in turns; compare the medians of each round."""
    site.reset()
    run_one = one_record(site)
    with stock_application(site) as stock:

        def save_one() -> None:
            stock.save(Thing(name="one"))

        for _ in range(WARM_UP):
            run_one()
            save_one()
        site.settle()
        pairs = [[(timed(run_one), timed(save_one)) for _ in range(PAIRS)] for _ in range(rounds)]
    ours = [median(run for run, _ in one_round) for one_round in pairs]
    theirs = [median(save for _, save in one_round) for one_round in pairs]
    return [
        Result(
            "single_record",
            "one record, against one stock Application.save",
            "at most",
            4,
            ratios(ours, theirs),
            "times its time",
            f"{median(ours) * 1000:.2f} ms, save {median(theirs) * 1000:.2f} ms",
        )
    ]
