"""What every test shares."""

from __future__ import annotations

import pytest
from hypothesis import settings

import tests.quick_moto  # noqa: F401 - before any moto

# Examples have no deadline of their own: a busy machine is slow, not wrong.
settings.register_profile("whole", deadline=None)
settings.register_profile("daily", deadline=None, max_examples=20)  # make test-fast
settings.load_profile("whole")

_LONGEST = (
    *(
        "five_interruptions",
        "attempts",
        "nodes_torch",
        "nodes",
        "schedules",
        "interrupted_deploy",
        "destroy",
        "upgrade",
        "triggers",
        "commands",
        "grid",
    ),
    *("faults", "layers", "several", "operator", "agent_stop", "agent"),
)
"""Files of which each takes minutes, mostly waiting. Those that begin last are waited for alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    ranks = {f"test_{name}": rank for rank, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))
