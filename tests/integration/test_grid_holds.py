"""Each trial once, never over the dollars, and an end: whatever dies, is lost or comes twice."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from tests.grid_sim import Sim, spec, total

EXAMPLES = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink one takes minutes
)


@EXAMPLES
@given(
    count=st.integers(1, 60),
    parallel=st.integers(1, 20),
    room=st.integers(1, 30),
    rate=st.floats(0, 0.06),
    seed=st.integers(0, 2**32),
)
@example(count=40, parallel=8, room=30, rate=0.05, seed=1)
def test_each_trial_is_run_once(
    count: int, parallel: int, room: int, rate: float, seed: int
) -> None:
    sim = Sim(spec(count, **{"max-parallel": parallel}), seed, rate, room)
    sim.play()
    grid = sim.record()
    assert sim.made == {grid.run_id(number): 1 for number in range(1, count + 1)}
    assert grid.ended == {"succeeded": count}
    assert sim.most_stacks <= min(parallel, room)
    assert grid.best is not None
    assert grid.best.value == max(number % 97 for number in range(1, count + 1))
    assert total(sim.told[-1][1]) == count


@EXAMPLES
@given(
    count=st.integers(1, 60),
    parallel=st.integers(1, 20),
    limit=st.floats(0.01, 2),
    rate=st.floats(0, 0.06),
    seed=st.integers(0, 2**32),
)
@example(count=40, parallel=8, limit=25, rate=0.05, seed=1)
def test_no_grid_goes_over_its_dollars(
    count: int, parallel: int, limit: float, rate: float, seed: int
) -> None:
    grid = spec(count, **{"max-parallel": parallel, "cost-limit": round(limit, 2)})
    sim = Sim(grid, seed, rate)
    sim.play()
    record = sim.record()
    assert record.limit is not None
    assert sim.most <= record.limit
    assert record.committed == record.spent <= record.limit
    assert all(stacks == 1 for stacks in sim.made.values())
    assert len(sim.made) == record.over
    if record.over < count:
        assert "are left of the grid's cost-limit" in record.stop
        assert record.limit - record.spent < 60_000  # there was no room for another one
    assert total(sim.told[-1][1]) == count


def test_what_a_grid_takes_does_not_grow_with_its_trials() -> None:
    calls, sizes = [], []
    for count in (100, 1_000):
        sim = Sim(spec(count, **{"max-parallel": 10, "cost-limit": 10_000}), seed=1)
        sim.play()
        calls.append(sim.table.writes[0] / count)
        sizes.append(len(repr(sim.steady.items["grid#job", sim.record().grid_id])))
    assert calls[1] == pytest.approx(calls[0], rel=0.1)
    assert sizes[1] < sizes[0] + 50
