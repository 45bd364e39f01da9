"""How large batches should be: the rules alone."""

from typing import Any

from action_ledger.domain.pace import Adaptive, Sizing, batches_at_once


def test_what_batches_are_sized_by() -> None:
    adaptive = Adaptive(seconds=2, minimum=10, maximum=1_000)

    def sizing(**values: Any) -> Sizing:
        fields = {"adaptive": adaptive, "asked": True, "start": 100, "rate": None, "speed": None}
        return Sizing(**{**fields, **values})

    assert sizing().oversize(150) is None
    assert sizing().oversize(151) == ("pace", 100)
    assert sizing(speed=1).oversize(100) == ("pace", 10)
    assert sizing(speed=10_000).oversize(1_000) is None
    assert sizing(asked=False).oversize(100_000) is None
    assert sizing(asked=False, speed=100).oversize(400) is None
    assert sizing(asked=False, speed=100).oversize(401) == ("pace", 200)
    assert sizing(rate=0.1).oversize(100) == ("rate", 1)
    assert sizing(rate=25, speed=1_000).oversize(100) == ("rate", 50)
    assert sizing(rate=25, speed=6).oversize(100) == ("pace", 12)
    assert (sizing(speed=1_000).page, sizing(speed=1).page, sizing().page) == (1_000, 10, 100)
    assert (sizing(asked=False, speed=1_000).page, sizing(asked=False, speed=20).page) == (100, 40)
    assert [batches_at_once(10, speed) for speed in (None, 100, 10, 9, 1)] == [1, 1, 1, 2, 10]
