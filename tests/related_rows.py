"""Rows of several tables before and after an undo, compared with what is to be taken back."""

from collections import Counter
from collections.abc import Mapping

from tests.any_related import Place, Row, Rows

Change = tuple[Row | None, Row | None]
"""A row before and after; None where it was not there."""


def changes(before: Rows, after: Rows) -> dict[Place, Change]:
    """Give the rows that are not as they were."""
    return {
        place: (before.get(place), after.get(place))
        for place in before.keys() | after.keys()
        if before.get(place) != after.get(place)
    }


def judge(
    was: Rows,
    now: Rows,
    changed: Mapping[Place, Change],
    listed: Counter[Place],
    *,
    strict: bool,
    beside: set[Place],
) -> None:
    """Compare rows before and after an undo with what is to be taken back.

    ``strict``: all of it came back but for what is ``listed``. Else a part: each value is the one that it was, or
    the one that it is to be. ``beside`` are rows that may change too.
    """
    for place in was.keys() | now.keys():
        old, new = was.get(place), now.get(place)
        if place not in changed:
            assert old == new or place in beside, (place, old, new)
            continue
        before, after = changed[place]
        if strict and place not in listed:
            assert new == wanted(place, before, after, old), (place, old, new, before)
        elif new is None:
            assert old is None or before is None, place
        elif old != new and place not in beside:
            for name, value in new.items():
                known = [row[name] for row in (old, before) if row is not None]
                between = old is None and before is not None and name.startswith("f")
                assert value in known or between, (place, name, old, new, before)
    if strict:
        lost = {place for place, (before, _) in changed.items() if before and place not in now}
        assert lost <= listed.keys(), lost - listed.keys()


def wanted(place: Place, before: Row | None, after: Row | None, now: Row | None) -> Row | None:
    """Give what is to become of a row: the values that were changed go back, all others stay as they are."""
    if before is None or after is None:
        return before
    assert now is not None, f"{place} is gone, and is listed nowhere"
    return {
        name: before[name] if before[name] != after[name] else value for name, value in now.items()
    }


def named(parent: tuple[str, Row], changed: Mapping[Place, Change]) -> Place | None:
    """Find a row by values that it had; None where it is none of those that are to come back."""
    table, values = parent
    return next(
        (
            place
            for place, (before, _) in changed.items()
            if place[0] == table and before is not None and before.items() >= values.items()
        ),
        None,
    )
