"""What every test shares: service models and machine images are read once, not once a test."""

from __future__ import annotations

import gc
import os

# moto makes its 1,300 images anew for every test; no test here asks for one of them.
os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")

import botocore.loaders
import botocore.session
import pytest
from hypothesis import settings

# A quarter of the time of moto's tests went into looking for rubbish among its many objects.
gc.set_threshold(100_000)

# Examples have no deadline of their own: a busy machine is slow, not wrong.
settings.register_profile("whole", deadline=None)
settings.register_profile("daily", deadline=None, max_examples=20)  # make test-fast
settings.load_profile("whole")

_LONGEST = (
    *(
        "five_interruptions",
        "attempts",
        "schedules",
        "interrupted_deploy",
        "destroy",
        "upgrade",
        "triggers",
        "commands",
    ),
    *("faults", "layers", "several", "operator", "agent_stop", "agent"),
)
"""Files of which each takes minutes, mostly waiting. Those that begin last are waited for alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    ranks = {f"test_{name}": rank for rank, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))


@pytest.fixture(autouse=True, scope="session")
def _service_models_are_read_once() -> None:
    """Let all boto3 sessions of a test process share one loader.

    moto gives each test a session of its own, and each session would parse EC2's model again.
    """
    shared = botocore.loaders.create_loader()

    def create_loader(search_path: str | None = None) -> botocore.loaders.Loader:
        return botocore.loaders.create_loader(search_path) if search_path else shared

    patch = pytest.MonkeyPatch()
    patch.setattr(botocore.session, "create_loader", create_loader)
