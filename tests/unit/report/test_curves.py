"""What becomes of a trainer's metrics.jsonl."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.report.curves import Curve, thinned
from tests.report_world import curves_of


def curve(rows: list[dict[str, Any]], name: str = "loss") -> Curve:
    return next(one for one in curves_of(rows) if one.name == name)


@pytest.mark.parametrize(
    ("row", "axis", "step"),
    [
        ({"step": 5, "epoch": 1, "loss": 1}, "step", 5),
        ({"epoch": 0.5, "loss": 1}, "epoch", 0.5),
        ({"step": "five", "loss": 1}, "line", 1),
        ({"step": True, "loss": 1}, "line", 1),
        ({"step": math.nan, "epoch": 2, "loss": 1}, "epoch", 2),
        ({"step": 10**400, "loss": 1}, "line", 1),
    ],
)
def test_step_is_meant_before_epoch_and_a_line_that_says_neither_is_counted(
    row: dict[str, Any], axis: str, step: float
) -> None:
    found = curve([row])
    assert (found.axis, found.points[0][0]) == (axis, step)


@pytest.mark.parametrize("times", [(100.0, 160), ("2026-11-24T12:00:00Z", "2026-11-24T12:01:00Z")])
def test_time_is_seconds_since_the_first_line(times: tuple[Any, Any]) -> None:
    rows = [{"step": n, "time": time, "loss": 1} for n, time in enumerate(times)]
    assert curve(rows).record()["seconds"] == [0, 60]
    assert "seconds" not in curve([*rows, {"step": 3, "loss": 1}]).record()


def test_a_step_that_is_measured_again_after_a_checkpoint_counts_once() -> None:
    rows = [{"step": step, "loss": loss} for step, loss in [(1, 9), (2, 8), (3, 7), (2, 6), (3, 5)]]
    assert curve(rows).record()["values"] == [9, 6, 5]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400])
def test_what_is_no_finite_number_is_a_gap_and_as_the_last_value_it_is_not_hidden(
    value: float,
) -> None:
    found = curve([{"step": 1, "loss": 0.5}, {"step": 2, "loss": value}])
    assert found.record()["values"] == [0.5, None]
    assert found.last is None


def test_a_trainer_cannot_make_the_page_large() -> None:
    rows = [{"step": n, **{f"m{k}": n * k for k in range(90)}} for n in range(2_000)]
    found = curves_of(rows)
    assert len(found) == 50
    assert sum(len(one.points) for one in found) <= 8_000 + 2 * len(found)
    assert len(json.dumps([one.record() for one in found])) < 250_000
    (long,) = curves_of([{"y" * 9_000: 1}])
    assert len(long.name) == 100


@given(
    values=st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=2_000),
    most=st.integers(7, 400),
)
def test_thinning_keeps_the_ends_every_peak_every_gap_and_the_order(
    values: list[float | None], most: int
) -> None:
    points = [(float(n), value, None) for n, value in enumerate(values)]
    kept = thinned(points, most)
    assert len(kept) <= most
    assert [kept[0], kept[-1]] == [points[0], points[-1]]
    places = [int(point[0]) for point in kept]
    assert places == sorted(set(places))
    assert kept == [points[at] for at in places]
    known = [value for value in values[1:-1] if value is not None]
    if known:
        shown = {point[1] for point in kept}
        assert {min(known), max(known)} <= shown
    for one, two in pairwise(places):
        assert None in (values[one], values[two]) or None not in values[one:two]


def test_a_curve_without_gaps_is_thinned_no_further_than_it_must() -> None:
    points = [(float(n), n % 7.0, None) for n in range(2_000)]
    assert len(thinned(points, 400)) > 350


def test_one_line_with_another_clock_moves_no_other() -> None:
    rows = [{"step": n, "time": 1.8e9 + n, "loss": 1} for n in range(3)]
    found = curve([*rows, {"step": 3, "time": 0, "loss": 1}])
    assert found.record()["seconds"] == [0, 1, 2, -1.8e9]


def test_only_numbers_are_curves_and_those_of_different_axes_keep_theirs() -> None:
    rows: list[dict[str, Any]] = [
        {"epoch": 1, "loss": 2, "note": "x", "done": True},
        {"step": 7, "rate": 0.5},
    ]
    found = {one.name: one.record() for one in curves_of(rows)}
    assert found == {
        "loss": {"name": "loss", "axis": "epoch", "steps": [1], "values": [2]},
        "rate": {"name": "rate", "axis": "step", "steps": [7], "values": [0.5]},
    }


def test_a_curve_that_has_room_is_whole() -> None:
    rows = [{"epoch": n, "loss": n / 7} for n in range(400)]
    assert len(curve(rows).points) == 400
