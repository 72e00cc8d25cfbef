"""How one metric went is kept at some steps, the same ones in all trials that count alike."""

from __future__ import annotations

import json
import random
import statistics
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parris.contract import MAX_HISTORY, MAX_STEP
from parris.runs.history import read_history
from trainer.runtime.agent.history import History
from trainer.runtime.agent.metrics import Metrics


def told(rows: list[dict[str, Any]]) -> list[list[Any]]:
    history = History("acc")
    for row in rows:
        history.take(row)
    return history.points()


def steps(count: int, every: int = 1) -> list[int]:
    rows: list[dict[str, Any]] = [
        {"step": every * number, "acc": number} for number in range(1, count + 1)
    ]
    return [point[0] for point in told(rows)]


def test_a_short_history_is_whole() -> None:
    assert told([{"epoch": 1, "acc": 0.5}, {"epoch": 2, "acc": 0.1}, {"epoch": 3, "acc": 0.9}]) == [
        [1, 0.5, 0.5, 0.5],
        [2, 0.3, 0.1, 0.5],
        [3, 0.5, 0.1, 0.9],
    ]


def test_rows_without_the_metric_say_nothing_and_count_where_no_step_is_told() -> None:
    rows: list[dict[str, Any]] = [{"loss": 1}, {"acc": 0.5}, {"loss": 1}, {"acc": 0.7, "note": "x"}]
    assert [point[0] for point in told(rows)] == [2, 4]
    assert [point[0] for point in told([{"epoch": 1, "step": 100, "acc": 1}])] == [100]


def test_a_long_history_is_thinned_to_steps_that_others_have_too() -> None:
    short, long = steps(100, 7), steps(100_000, 7)
    assert len(short) <= MAX_HISTORY
    assert MAX_HISTORY / 4 < len(long) <= MAX_HISTORY
    assert long[-1] == 700_000
    longer = steps(3_000, 7)
    within = [step for step in long if step <= 21_000]
    assert set(within) <= set(longer)  # what the longer one has there, the shorter one has too
    gaps = [after - before for before, after in pairwise(longer)]
    assert max(gaps) <= 21_000 / (MAX_HISTORY / 4)


@given(count=st.integers(1, 2_000), seed=st.integers(0, 2**32))
def test_what_is_kept_is_of_all_values_and_follows_from_the_steps_alone(
    count: int, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same rows each time
    at, rows = 0.0, list[dict[str, Any]]()
    for _ in range(count):
        at += chance.choice((0.25, 1, 1, 3, 1000))
        rows.append({"step": at, "acc": chance.uniform(-1, 1)})
    points = told(rows)
    assert len(points) <= MAX_HISTORY
    assert [point[0] for point in points] == [
        point[0] for point in told([{**row, "acc": 0} for row in rows])
    ]
    for step, mean, least, greatest in points:
        values = [row["acc"] for row in rows if row["step"] <= step]
        assert mean == pytest.approx(statistics.fmean(values), abs=1e-8)
        assert (least, greatest) == pytest.approx((min(values), max(values)))
    assert read_history(json.loads(json.dumps(points))) is not None
    assert points[-1][0] == at


def test_steps_that_come_again_were_counted_before() -> None:
    rows = [{"step": step, "acc": 0.5} for step in (1, 2, 3, 4, 3, 4, 5)]
    rows[4]["acc"] = rows[5]["acc"] = 99  # after a checkpoint
    assert told(rows)[-2:] == [[4, 0.5, 0.5, 0.5], [5, 0.5, 0.5, 0.5]]


def test_several_values_of_one_step_all_count() -> None:
    rows = [{"epoch": epoch, "acc": value} for epoch, value in ((1, 0.5), (2, 0.1), (2, 0.9))]
    assert told(rows) == [[1, 0.5, 0.5, 0.5], [2, 0.5, 0.1, 0.9]]


def test_a_value_that_is_no_finite_number_is_a_step_without_one() -> None:
    rows: list[dict[str, Any]] = [
        {"step": 1, "acc": "nan"},
        {"step": 2, "acc": 0.5},
        {"step": 3, "acc": "inf"},
    ]
    assert told(rows) == [[1, None, None, None], [2, 0.5, 0.5, 0.5], [3, 0.5, 0.5, 0.5]]


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "step": st.one_of(st.floats(allow_nan=False), st.text(max_size=3)),
                "epoch": st.integers(-(2**53), 2**53),
                "acc": st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.just("nan")),
            },
        ),
        max_size=200,
    )
)
def test_whatever_a_trainer_tells_is_a_history_that_can_be_read(rows: list[Any]) -> None:
    points = told(rows)
    whole = json.dumps(points, allow_nan=False)
    assert len(whole) < 8_000
    assert not points or read_history(json.loads(whole)) is not None
    assert all(abs(point[0]) < MAX_STEP for point in points)
    for _, mean, least, greatest in points:
        assert mean is None or least <= mean <= greatest


def test_the_file_is_followed_and_a_new_one_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics = Metrics(path, "acc")
    assert metrics.history is not None
    path.write_text('{"step": 1, "acc": NaN}\n{"step": 2, "acc": true}\n{"step": 3, "acc": 0.5}\n')
    metrics.follow()
    assert [point[0] for point in metrics.history.points()] == [1, 2, 3]
    with path.open("a") as file:
        file.write('{"step": 4, "acc": 0.7}\nno row\n{"step": 5, "loss": 1}\n')
    metrics.follow()
    assert metrics.history.points()[-1] == [4, 0.6, 0.5, 0.7]
    path.write_text('{"step": 1, "acc": 0.1}\n')
    metrics.follow()
    assert metrics.history.points() == [[1, 0.1, 0.1, 0.1]]


@pytest.mark.parametrize("follows", [None, "", 7, ["acc"]])
def test_nobody_asks_for_a_history_unless_the_receipt_names_a_metric(
    tmp_path: Path, follows: object
) -> None:
    assert Metrics(tmp_path / "metrics.jsonl", follows).history is None
