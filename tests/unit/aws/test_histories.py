"""What the ledger keeps of trials that are over, of however many."""

from __future__ import annotations

import random
from typing import Any

import pytest

from parris.aws.histories import PLACES, Histories
from parris.runs.history import History, Point
from tests.memory_table import MemoryTable
from tests.plans import NOW
from tests.unit.runs.test_trials import grid

MANY = 5_000


def of(number: int) -> History:
    return History([Point(1, number, number, number)])


def kept(numbers: list[int]) -> dict[int, History]:
    histories = Histories(MemoryTable(dynamodb=_none, name=""))
    for number in numbers:
        histories.keep(grid(), number, of(number), NOW)
    found, problems = histories.read(grid())
    assert not problems
    return found


def test_each_of_the_first_trials_is_kept_once_however_often_it_is_noted() -> None:
    assert kept([*range(1, 101)] * 2) == {number: of(number) for number in range(1, 101)}


def test_of_very_many_trials_as_many_are_kept_as_there_are_places_evenly_drawn() -> None:
    numbers = list(range(1, MANY + 1))
    found = kept(numbers)
    assert len(found) == PLACES
    assert sum(found) / PLACES == pytest.approx(MANY / 2, rel=0.2)
    random.Random(1).shuffle(numbers)  # noqa: S311 - in whatever order they end
    assert kept(numbers) == found


def _none() -> Any:
    raise AssertionError("nobody reaches DynamoDB")
