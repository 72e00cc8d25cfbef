"""Which trials of a grid are stopped early, given how all of them went."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from parris.jobs.grid import read_grid
from parris.jobs.points import Grid
from parris.runs.early import LEAST_OTHERS, WARM_UP, why_early
from parris.runs.history import History, read_history
from trainer.runtime.agent.history import History as Kept

GOALS = ("max", "min")
FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)
CURVES = st.lists(st.lists(FINITE, min_size=1, max_size=200), min_size=1, max_size=12)


def grid(goal: str = "max") -> Grid:
    spec = {"parameters": {"n": "1..9"}, "metric": "score", "goal": goal, "stop-early": "median"}
    return read_grid(spec, "test")


def history(values: Sequence[Any], steps: Sequence[float] | None = None) -> History:
    """Return what the sweep reads of a trial that told these values, from step 1 on."""
    kept = Kept("score")
    for step, value in zip(steps or range(1, len(values) + 1), values, strict=True):
        kept.take({"step": step, "score": value})
    read = read_history(kept.points())
    assert read is not None
    return read


def flat(value: float, steps: int) -> History:
    return history([value] * steps)


def test_a_trial_that_is_worse_than_the_median_at_its_step_is_stopped_and_told_why() -> None:
    others = [flat(value, 10) for value in (0.1, 0.5, 0.6, 0.7, 0.9)]
    assert why_early(grid(), history([0.2, 0.3, 0.41, 0.4]), others) == (
        "its best score by step 4 is 0.41, worse than 0.6, the median of the running averages of "
        "5 other trials there"
    )
    assert why_early(grid(), flat(0.6, 4), others) == ""  # as good as the median is good enough
    assert why_early(grid("min"), flat(0.6, 4), others) == ""
    assert "by step 4 is 0.7, worse than 0.6" in why_early(grid("min"), flat(0.7, 4), others)


def test_what_others_reach_later_does_not_count() -> None:
    rising = history([step / 100 for step in range(1, 101)])
    assert rising.points[-1].mean == pytest.approx(0.505)
    slow = history([0.01, 0.02, 0.03, 0.04])
    assert why_early(grid(), slow, [rising] * 9) == ""  # though they come to 1.0
    assert "by step 4 is 0.02, worse than 0.025" in why_early(
        grid(), history([0.01, 0.02, 0.02, 0.02]), [rising] * 9
    )


@pytest.mark.parametrize("others", range(LEAST_OTHERS + 1))
def test_nothing_is_stopped_before_enough_others_have_come_as_far(others: int) -> None:
    ahead, behind = [flat(1, 10)] * others, [flat(1, 2)] * 50
    stopped = why_early(grid(), flat(0, 5), [*ahead, *behind])
    assert bool(stopped) == (others == LEAST_OTHERS)


@pytest.mark.parametrize("told", range(1, WARM_UP + 1))
def test_nothing_is_stopped_before_it_has_told_some_values(told: int) -> None:
    assert bool(why_early(grid(), flat(0, told), [flat(1, 10)] * 9)) == (told == WARM_UP)


def test_one_that_is_ahead_of_all_is_compared_where_enough_others_have_been() -> None:
    others = [flat(1, 10 + number) for number in range(8)]  # the fifth furthest came to step 13
    assert "by step 13 is 0," in why_early(grid(), flat(0, 50), others)
    caught_up = history([0] * 89 + [2])
    assert why_early(grid(), caught_up, others) == ""


def test_others_count_up_to_where_they_went_however_they_ended() -> None:
    stopped, going = [flat(0, 3)] * 20, [flat(1, 10)] * 5
    assert why_early(grid(), flat(0.5, 3), [*stopped, *going]) == ""
    assert why_early(grid(), flat(0.5, 4), [*stopped, *going]) != ""


def test_trials_are_compared_at_equal_steps_only() -> None:
    coarse = [history([0.5, 0.6, 0.7], [10, 20, 30])] * 5
    assert why_early(grid(), history([0.1] * 5, [8, 16, 24, 32, 48]), coarse) == ""
    assert "by step 30 is 0.1, worse than 0.6," in why_early(
        grid(), history([0.1] * 5, [8, 16, 24, 30, 48]), coarse
    )
    thinned = [history([step / 100 for step in range(1, 101)])] * 5
    assert 100 > len(thinned[0].points) > 20
    assert "by step 40 " in why_early(grid(), flat(0, 41), thinned)  # 41 they have not kept
    later = [history([0.9, 0.9], [20, 30])] * 5  # nobody knows what those had at step 12
    assert why_early(grid(), history([0.1] * 3, [4, 8, 12]), later) == ""


def test_whoever_has_not_told_that_very_step_does_not_count() -> None:
    own, alike = flat(0.5, 10), [flat(value, 10) for value in (0.1, 0.2, 0.4, 0.4, 0.4)]
    unlike = [history([0.9] * 12, [step + 0.5 for step in range(12)])] * 5
    assert why_early(grid(), own, [*alike, *unlike]) == ""
    assert "worse than 0.4, the median of the running averages of 5 other trials there" in (
        why_early(grid(), flat(0.3, 10), [*alike, *unlike])
    )
    assert why_early(grid(), flat(0.3, 10), [*alike, *unlike, *unlike]) == ""


def test_a_few_that_have_kept_a_step_do_not_stand_for_all_that_have_passed_it() -> None:
    beside = [flat(0.5, 41)] * 5
    thinned = [history([0.1] * 1_000)] * 20  # of each 16 steps the first is kept
    assert "by step 41 " in why_early(grid(), flat(0.3, 41), beside)
    assert why_early(grid(), flat(0.3, 41), [*beside, *thinned]) == ""  # as they stood at 32
    why = why_early(grid(), flat(0.05, 41), [*beside, *thinned])
    assert "by step 32 is 0.05, worse than 0.1, " in why
    assert " of 25 other trials there" in why


@pytest.mark.parametrize("word", ["nan", "inf", "-inf", "n/a"])
@pytest.mark.parametrize("goal", GOALS)
def test_a_trial_that_diverged_goes_on_in_steps_and_not_in_values(word: str, goal: str) -> None:
    others = [history([0.4, 0.5, 0.6, 0.5, 0.4])] * 5
    good, bad = (2, -2) if goal == "max" else (-2, 2)
    assert why_early(grid(goal), history([good, word, word, word]), others) == ""
    assert why_early(grid(goal), history([bad, word, word, word]), others) != ""
    assert "by step 3 is no finite number, worse than 0.5" in why_early(
        grid(goal), history([word] * 3), others
    )
    assert why_early(grid(goal), flat(bad, 5), [history([word] * 5)] * 50) == ""
    assert why_early(grid(goal), flat(bad, 5), [*others[1:], history([word] * 5)]) == ""
    assert "5 other trials" in why_early(
        grid(goal), flat(bad, 5), [*others, *[history([word] * 5)] * 50]
    )


@given(curves=CURVES, own=st.integers(0, 11), goal=st.sampled_from(GOALS))
def test_the_best_trial_so_far_is_never_stopped(
    curves: list[list[float]], own: int, goal: str
) -> None:
    best = max if goal == "max" else min
    own = own % len(curves)
    curves[own].append(best(best(curve) for curve in curves))
    others = [history(curve) for at, curve in enumerate(curves) if at != own]
    assert why_early(grid(goal), history(curves[own]), others) == ""


@given(curves=CURVES, goal=st.sampled_from(GOALS))
def test_half_of_the_trials_go_on_whatever_they_told(curves: list[list[float]], goal: str) -> None:
    same = [(curve * 200)[:20] for curve in curves]
    read = [history(curve) for curve in same]
    stopped = [
        at
        for at, one in enumerate(read)
        if why_early(grid(goal), one, [other for other in read if other is not one])
    ]
    assert len(stopped) <= (len(read) + 1) // 2
    assert len(read) > LEAST_OTHERS or not stopped


@given(
    curves=st.lists(
        st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=60), min_size=6, max_size=12
    ),
    goal=st.sampled_from(GOALS),
)
def test_it_is_the_median_stopping_rule(curves: list[list[float]], goal: str) -> None:
    """By a second way to count, where no step is left out."""
    own, *others = curves
    step = sorted((len(curve) for curve in others), reverse=True)[LEAST_OTHERS - 1]
    step = min(step, len(own))
    assume(step >= WARM_UP)
    averages = [statistics.fmean(curve[:step]) for curve in others if len(curve) >= step]
    middle = statistics.median(averages)
    best = max(own) if goal == "max" else min(own)
    assume(abs(best - middle) > 1e-6 * (abs(best) + abs(middle) + 1))  # nine digits are kept
    is_worse = best < middle if goal == "max" else best > middle
    why = why_early(grid(goal), history(own), [history(curve) for curve in others])
    assert bool(why) == is_worse
    if is_worse:
        assert f" by step {step} " in why
        assert f" of {len(averages)} other trials" in why


@given(lies=st.lists(FINITE, min_size=1, max_size=3), goal=st.sampled_from(GOALS))
def test_whoever_lies_moves_the_median_by_a_place_each(lies: list[float], goal: str) -> None:
    honest = [flat(value / 10, 5) for value in range(11)]
    forged = [flat(lie, 5) for lie in lies]
    fine = flat((5 + len(lies)) / 10 if goal == "max" else (5 - len(lies)) / 10, 5)
    assert why_early(grid(goal), fine, [*honest, *forged]) == ""


NO_HISTORIES: list[Any] = [
    *(None, 7, "x", {}, [], [1], [[]], [[1, 2, 3]], [[1, 2, 3, 4, 5]]),
    *([["1", 2, 2, 2]], [[None, 2, 2, 2]], [[True, 2, 2, 2]], [[1, None, 2, 2]]),
    *([[1, "nan", 1, 1]], [[1, float("nan"), 1, 1]], [[float("inf"), 1, 1, 1]]),
    *([[2**60, 1, 1, 1]], [[1, 10**400, 1, 1]], [[2, 1, 1, 1], [1, 1, 1, 1]]),
    *([[1, 1, 1, 1], [1, 1, 1, 1]], [[step, 1, 1, 1] for step in range(65)]),
    *([[1, [1], 1, 1]], [[1, 9, 0, 1]], [[1, -9, 0, 1]], [[1, 0.5, 1, 0]]),
]


@pytest.mark.parametrize("given", NO_HISTORIES, ids=lambda given: str(given)[:30])
def test_what_is_no_history_counts_as_none(given: Any) -> None:
    assert read_history(given) is None


def test_a_history_is_read_again_from_what_is_stored() -> None:
    whole = history([0.5, "nan", 0.25, -3])
    assert read_history(whole.stored) == whole
