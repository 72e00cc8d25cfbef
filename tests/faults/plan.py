"""Which cases there are: a clean run of each scene tells its calls."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

from botocore.config import Config
from moto import mock_aws

from tests import (
    quick_moto,  # noqa: F401 - before any moto
    reap_world,
)
from tests.faults import attempts, grids, launches, sweeps
from tests.faults.case import Case
from tests.faults.injector import KINDS, Call
from tests.grid_world import GridWorld
from tests.runs_world import Runs
from tests.world import World

SCENES = (*launches.KINDS, *sweeps.SCENES, *attempts.SCENES, *grids.SCENES)

_ONCE = Config(retries={"max_attempts": 0})
"""So that a lost answer is lost; `sent-again` is the fault that botocore tries again."""


def cases(share: float = 1, seed: int = 0, scenes: Sequence[str] | None = None) -> Iterator[Case]:
    """Yield the cases, or a share of them that the seed chooses.

    Raises:
        AssertionError: if something is wrong without any fault.
    """
    chosen = random.Random(seed)  # noqa: S311 - which tests, no secret
    for name in scenes or SCENES:
        clean = run(Case(name=name))
        assert clean.violations == [], f"{clean}: {clean.violations}"
        for operation, count in sorted(clean.calls.items()):
            for number in range(1, count + 1):
                for kind in KINDS:
                    if chosen.random() < share:
                        yield Case(name=name, target=Call(operation, number), kind=kind)


def run(case: Case) -> Case:
    """Play a case in a world of its own."""
    config = None if case.kind == "sent-again" else _ONCE
    with _quick(), mock_aws():
        if case.name in sweeps.SCENES:
            return sweeps.play(replace(case), lambda: reap_world.World(config))
        if case.name in attempts.SCENES:
            return attempts.play(replace(case), lambda: Runs(config))
        if case.name in grids.SCENES:
            return grids.play(replace(case), lambda: GridWorld(config))
        return launches.play(replace(case), lambda: World(config))


@contextmanager
def _quick() -> Iterator[None]:
    """Let botocore wait for nothing between two tries."""
    with (
        mock.patch("botocore.endpoint.time.sleep"),
        mock.patch.dict("os.environ", {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "t"}),
    ):
        yield
