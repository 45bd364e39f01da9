"""Rows 8 and 10: many events. How fast views are rebuilt from them, and what they cost the next command."""

from collections.abc import Callable
from contextlib import ExitStack
from statistics import median

from action_ledger.ops.embedded_server import Server

from .result import Result, ratios
from .single import one_record
from .site import Site, site, timed
from .stock import fill, project_one_by_one, select_and_map, stock_application

BATCHES = 250
"""Of the execution whose events are copied: two events each, and three more."""
COPIES = 20
RUNNER_EVENTS = 500
"""Enough to tell the speed of the stock runner."""
COMMANDS = 40
ROWS = 10_000
"""Of the table: events are what counts here."""


def make_events(place: Site) -> None:
    """Run an execution of many batches."""
    place.run("create_copying")
    place.reset()
    place.request().batch_size(max(1, place.rows // BATCHES)).run()
    place.ledger.catch_up()


def measure_rebuild(server: Server, rows: int, rounds: int) -> list[Result]:
    """Rebuild all views, and let the library read and project as many events of its own, in turns."""
    with site(server, "rebuild", min(rows, ROWS)) as place:
        return _measure_rebuild(place, rounds)


def _measure_rebuild(place: Site, rounds: int) -> list[Result]:
    make_events(place)
    place.run("copy_execution", copies=COPIES)
    count = int(place.number("count_events"))
    rebuilt, mapped = list[float](), list[float]()
    with stock_application(place) as stock:
        fill(stock, RUNNER_EVENTS)
        one_by_one = [project_one_by_one(place, RUNNER_EVENTS)] * rounds
        fill(stock, count - RUNNER_EVENTS)
        for _ in range(rounds):
            place.settle()
            mapped.append(timed(lambda: select_and_map(stock)) / count)
            done = place.ledger.projections.rebuild()
            rebuilt.append(sum(one.seconds for one in done) / sum(one.events for one in done))
    rates = f"{1 / median(rebuilt):,.0f} events/s of {count:,}"
    return [
        Result(
            "rebuild_select_and_map",
            "rebuild of all views, against the library's select and map",
            "at least",
            0.6,
            ratios(mapped, rebuilt),
            "of its rate",
            f"{rates}, bare {1 / median(mapped):,.0f}",
        ),
        Result(
            "rebuild_runner",
            "rebuild of all views, against the library's runner",
            "at least",
            30,
            ratios(one_by_one, rebuilt),
            "times its rate",
            f"{rates}, runner {1 / median(one_by_one):,.0f}",
        ),
    ]


def measure_growth(server: Server, rows: int, rounds: int) -> Result:
    """Change one record in two databases, of which one has ten times the events, in turns."""
    rows = min(rows, ROWS)
    with site(server, "growth", rows) as place:
        make_events(place)
    with ExitStack() as stack:
        small, large = (
            stack.enter_context(site(server, name, rows, template="growth"))
            for name in ("growth_small", "growth_large")
        )
        large.run("copy_execution", copies=9)
        large.ledger.projections.rebuild()
        events = [int(place.number("count_events")) for place in (small, large)]
        commands = [one_record(small), one_record(large)]
        for command in commands:
            for _ in range(COMMANDS // 2):
                command()
        small.settle()
        large.settle()
        times = [_in_turns(commands) for _ in range(rounds)]
    return Result(
        "growth",
        "a command among ten times the events",
        "at most",
        1.15,
        tuple(among_many / among_few for among_few, among_many in times),
        "times its time",
        f"{events[0]:,} and {events[1]:,} events, {median(t[1] for t in times) * 1000:.2f} ms",
    )


def _in_turns(commands: list[Callable[[], None]]) -> tuple[float, float]:
    few, many = zip(
        *([timed(command) for command in commands] for _ in range(COMMANDS)), strict=True
    )
    return median(few), median(many)
