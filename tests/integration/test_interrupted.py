"""A caller that stops in the middle stops all of its workers; what is left can be finished by others."""

import pytest

from action_ledger.ops import ExecutionHandle, Ledger


class Enough(Exception):  # noqa: N818 - what a caller raises to stop
    pass


@pytest.mark.parametrize("workers", [1, 3])
def test_a_caller_that_stops_stops_its_helpers(ledger: Ledger, places: str, workers: int) -> None:
    seen: list[ExecutionHandle] = []

    def stop(execution: ExecutionHandle) -> None:
        seen.append(execution)
        raise Enough

    with pytest.raises(Enough):
        ledger.on(places).all().update(note="x").by("t").batch_size(1).run(
            workers=workers, watch=stop
        )
    progress = seen[0].progress()
    assert 0 < progress.pending < progress.total
    seen[0].finish(workers=workers)
    assert (seen[0].status, seen[0].progress().applied) == ("completed", progress.total)
