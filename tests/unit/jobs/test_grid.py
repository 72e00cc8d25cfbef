"""What a grid may be, and which parameters its trials have."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parris.errors import InvalidConfig
from parris.jobs.grid import MAX_BYTES, MAX_TRIALS, read_grid
from parris.jobs.points import Grid, read_stored

SPEC = {"parameters": {"lr": [0.1, 0.01], "seed": "1..3"}}


def points(grid: Grid, seed: str = "s") -> list[dict[str, str]]:
    return [grid.point(number, seed) for number in range(1, grid.count + 1)]


def nested(deep: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(deep):
        found = [found]
    return found


def refusal(spec: Any) -> str:
    with pytest.raises(InvalidConfig) as caught:
        read_grid(spec, "grid")
    return str(caught.value)


def test_a_grid_has_each_combination_once_the_last_parameter_changing_fastest() -> None:
    read = points(read_grid(SPEC, "grid"))
    assert [(one["lr"], one["seed"]) for one in read] == [
        *(("0.1", "1"), ("0.1", "2"), ("0.1", "3")),
        *(("0.01", "1"), ("0.01", "2"), ("0.01", "3")),
    ]
    assert list(read[0]) == ["lr", "seed"]


def test_a_grid_that_stops_early_follows_its_metric_and_one_of_an_older_version_none() -> None:
    spec = {**SPEC, "metric": "accuracy", "stop-early": "median"}
    grid = read_grid(spec, "grid")
    assert (grid.stop_early, grid.goal, grid.follows) == ("median", "max", "accuracy")
    assert read_stored(json.loads(json.dumps(grid.stored))) == grid
    older = {key: value for key, value in grid.stored.items() if key != "stop-early"}
    assert read_stored(older).follows == ""
    assert read_grid({**SPEC, "metric": "accuracy"}, "grid").follows == ""


def test_what_a_grid_does_not_say_has_a_default() -> None:
    grid = read_grid(json.dumps(SPEC).encode(), "grid")
    assert (grid.max_parallel, grid.cost_limit_usd, grid.metric, grid.goal) == (4, None, "", "max")
    assert (grid.count, grid.names) == (6, ("lr", "seed"))


@pytest.mark.parametrize("trials", [SPEC, {"points": [{"lr": 1}, {"lr": 2}]}])
def test_a_grid_is_read_again_from_what_the_ledger_holds(trials: Any) -> None:
    spec = {**trials, "cost_limit": 2.5, "metric": "accuracy", "goal": "min", "_why": "a comment"}
    grid = read_grid(spec, "grid")
    assert read_stored(json.loads(json.dumps(grid.stored))) == grid
    assert str(grid.cost_limit_usd) == "2.5"


def test_one_fault_of_a_grid_that_stops_early_is_told_once() -> None:
    for keys in ({"goal": "min"}, {}, {"metric": "a", "goal": "up"}):
        assert "has 1 problem\n" in refusal({**SPEC, "stop-early": "median", **keys})


@given(size=st.integers(1, 3000), share=st.floats(0, 1), seed=st.text(max_size=8))
def test_draws_at_random_are_different_and_the_same_again(
    size: int, share: float, seed: str
) -> None:
    count = max(1, int(size * share))
    grid = read_grid({"parameters": {"n": f"1..{size}"}, "random": count}, "grid")
    drawn = points(grid, seed)
    assert drawn == points(grid, seed)
    assert len({one["n"] for one in drawn}) == count
    assert all(1 <= int(one["n"]) <= size for one in drawn)


def test_some_of_very_many_combinations_are_drawn_without_a_list_of_them() -> None:
    axes = {f"p{number}": "1..1000" for number in range(6)}
    grid = read_grid({"parameters": axes, "random": 1000}, "grid")
    assert len({tuple(one.values()) for one in points(grid)}) == 1000


def test_points_are_taken_as_they_are() -> None:
    grid = read_grid({"points": [{"lr": 0.5}, {"lr": 0.25, "seed": 2}]}, "grid")
    assert points(grid) == [{"lr": "0.5"}, {"lr": "0.25", "seed": "2"}]
    assert grid.names == ("lr", "seed")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "parameters: give either these"),
        ({**SPEC, "points": [{"lr": 1}]}, "parameters: give either these"),
        ([], "[] is not an object"),
        ({"parameters": {}}, "parameters: {} is not an object of names and their values"),
        ({"parameters": {"lr": 0.1}}, "parameters.lr: 0.1 is neither a list of values"),
        ({"parameters": {"lr": []}}, "parameters.lr: [] is neither a list of values"),
        ({"parameters": {"lr": [None]}}, "parameters.lr: not a string"),
        ({"parameters": {"lr": [1, "1"]}}, "parameters.lr: a value stands there twice"),
        ({"parameters": {"seed": "5..1"}}, "parameters.seed: 5..1 has no number; write 1..5"),
        ({"parameters": {"1": [1]}}, "parameters: '1' is not a name"),
        ({"parameters": {"a-b": [1], "a_b": [2]}}, "parameters.a-b: given twice"),
        ({**SPEC, "random": 7}, "random: 7 of 6 combinations; leave it out"),
        ({"points": [{"lr": 1}], "random": 1}, "random: points are taken as they are"),
        ({**SPEC, "max-parallel": 0}, "max-parallel: 0 is not a whole number of trials (1 to 100)"),
        ({**SPEC, "cost-limit": -1}, "cost-limit: -1 is not an amount of US dollars"),
        ({**SPEC, "goal": "max"}, "goal: it says which value of a metric is best"),
        ({**SPEC, "goal": "up", "metric": "a"}, 'goal: "up" is not one of max, min'),
        ({**SPEC, "stop-early": "median"}, "stop-early: trials are compared by a metric, and none"),
        (
            {**SPEC, "stop-early": "mean", "metric": "a"},
            'stop-early: "mean" is not one of median',
        ),
        ({**SPEC, "stop-early": True, "metric": "a"}, "stop-early: true is not one of median"),
        ({**SPEC, "stop-early": None, "metric": "a"}, "stop-early: null is not one of median"),
        ({**SPEC, "costlimit": 1}, "costlimit: not a key of this file; did you mean cost-limit?"),
        ({"points": [{"lr": [1]}]}, "points[1]: lr: not a string"),
        (
            {"points": [{"x": "y" * 1000}] * 9},
            f"bytes are too many for a grid (at most {MAX_BYTES}",
        ),
        ('{"parameters": ', "line 1, column 16: not JSON"),
        ({"parameters": {"a": nested(100_000)}}, "it is nested too deep"),
        ('{"parameters": {"a": ["\\ud800"]}}', "parameters.a: not a string"),
        *(
            ({**SPEC, "metric": name}, f"metric: {json.dumps(name)} is not the name of a metric")
            for name in ("", " ", " loss", "loss ", "a\tb")
        ),
    ],
)
def test_a_fault_is_named_with_what_is_allowed(spec: Any, said: str) -> None:
    assert said in refusal(spec)


def test_too_many_combinations_are_refused_with_what_would_do() -> None:
    text = refusal({"parameters": {"a": "1..1000", "b": "1..101"}})
    assert "parameters: 101000 combinations are too many" in text
    assert f'"random": {MAX_TRIALS}' in text
