"""Which cases there are: a clean run of each scene tells its calls."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from unittest import mock

import pytest
from botocore.config import Config
from moto import mock_aws

from tests import quick_moto  # noqa: F401 - before any moto
from tests.faults import attempts, grids, launches, sweeps
from tests.faults.case import Case
from tests.faults.injector import KINDS, Call

SCENES = (*sweeps.SCENES, *launches.KINDS, *attempts.SCENES, *grids.SCENES)

_ONCE = Config(retries={"max_attempts": 0})
"""So that a lost answer is lost; `sent-again` is the fault that botocore tries again."""


def cases_of(name: str, calls: Counter[str], share: float, seed: int) -> list[Case]:
    """Return a scene's cases, or a share of them that the seed chooses.

    Args:
        calls: how often each operation is called in it.
    """
    chosen = random.Random(f"{seed} {name}")  # noqa: S311 - which tests, no secret
    return [
        Case(name=name, target=Call(operation, number), kind=kind)
        for operation, count in sorted(calls.items())
        for number in range(1, count + 1)
        for kind in KINDS
        if chosen.random() < share
    ]


def run(case: Case) -> Case:
    """Play a case in a world of its own."""
    with _scene(case.name, case.kind == "sent-again") as play:
        return play(case)


def run_all(cases: Sequence[Case]) -> list[Case]:
    """Play cases of one scene, each in a fork of this process: the scene is set up once.

    Two of them are set up if some of the cases are `sent-again`.
    """
    played = []
    for again in (False, True):
        chosen = [case for case in cases if (case.kind == "sent-again") is again]
        if chosen:
            with _scene(chosen[0].name, again) as play:
                played += [_in_a_fork(play, case) for case in chosen]
    return played


def _in_a_fork(play: Callable[[Case], Case], case: Case) -> Case:
    """Return what comes of `play(case)` in a copy of this process; this one stays as it is."""

    def child(sender: Connection) -> None:
        sender.send(play(case))

    receiver, sender = get_context("fork").Pipe(duplex=False)
    process = get_context("fork").Process(target=child, args=(sender,))
    process.start()
    sender.close()
    try:
        played: Case = receiver.recv()
    except EOFError:
        raise RuntimeError(f"{case}: it could not be played to its end") from None
    finally:
        process.join()
        receiver.close()
    return played


@contextmanager
def _scene(name: str, again: bool) -> Iterator[Callable[[Case], Case]]:
    """Set a scene up in a world of its own; what is yielded plays one case of it.

    Args:
        again: whether botocore sends a call again.
    """
    config = None if again else _ONCE
    with _quick(), mock_aws(), pytest.MonkeyPatch.context() as patch:
        if name in sweeps.SCENES:
            yield sweeps.set_up(name, config)
        elif name in attempts.SCENES:
            yield attempts.set_up(name, config, patch)
        elif name in grids.SCENES:
            yield grids.set_up(name, config)
        else:
            yield launches.set_up(name, config)


@contextmanager
def _quick() -> Iterator[None]:
    """Let botocore wait for nothing between two tries."""
    with (
        mock.patch("botocore.endpoint.time.sleep"),
        mock.patch.dict("os.environ", {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "t"}),
    ):
        yield
