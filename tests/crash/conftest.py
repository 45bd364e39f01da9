"""The heavy ones, marked `crash`, run when they are asked for: `make crash`, or a marker expression that names them."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave them out of a run whose marker expression does not name them."""
    if "crash" in str(config.option.markexpr):
        return
    heavy = {item for item in items if item.get_closest_marker("crash")}
    if heavy:
        items[:] = [item for item in items if item not in heavy]
        config.hook.pytest_deselected(items=list(heavy))
