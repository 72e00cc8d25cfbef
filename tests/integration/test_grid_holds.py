"""Each trial once, never over the dollars, and an end: whatever dies, is lost or comes twice."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from parris.aws.trials import Trials
from parris.runs.grid import MONEY, ROOM, GridRecord
from tests.faults.injector import KINDS
from tests.grid_sim import DEAREST, Sim, faults_of, given_up, spec
from tests.metered_table import size_of
from tests.plans import NOW

EXAMPLES = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink one takes minutes
)
RATE, OVERLAP = 0.05, 0.02
SEED = datetime.now(UTC).toordinal()


@EXAMPLES
@given(
    count=st.integers(1, 60),
    parallel=st.integers(1, 20),
    room=st.integers(1, 30),
    rate=st.floats(0, 0.06),
    overlap=st.floats(0, 0.1),
    seed=st.integers(0, 2**32),
)
@example(count=40, parallel=8, room=30, rate=RATE, overlap=OVERLAP, seed=1)
def test_each_trial_is_run_once(
    count: int, parallel: int, room: int, rate: float, overlap: float, seed: int
) -> None:
    sim = Sim(spec(count, **{"max-parallel": parallel}), seed, rate, room, overlap)
    sim.play()
    assert list(faults_of(sim)) == []
    assert given_up(sim) <= (rate > 0)


@EXAMPLES
@given(
    count=st.integers(1, 60),
    parallel=st.integers(1, 20),
    limit=st.floats(0.01, 2),
    rate=st.floats(0, 0.06),
    overlap=st.floats(0, 0.1),
    seed=st.integers(0, 2**32),
)
@example(count=40, parallel=8, limit=25, rate=RATE, overlap=OVERLAP, seed=1)
def test_no_grid_goes_over_its_dollars(
    count: int, parallel: int, limit: float, rate: float, overlap: float, seed: int
) -> None:
    grid = spec(count, **{"max-parallel": parallel, "cost-limit": round(limit, 2)})
    sim = Sim(grid, seed, rate, overlap=overlap)
    sim.play()
    assert list(faults_of(sim)) == []
    record = sim.record()
    assert given_up(sim) <= (rate > 0)
    if record.over < count:
        assert record.limit is not None
        assert "are left of the grid's cost-limit" in record.stop
        assert record.limit - record.spent < DEAREST  # there was no room for another one


@pytest.mark.parametrize("seed", range(SEED, SEED + 8))
def test_a_grid_of_40_is_whole_while_one_call_in_twenty_fails(seed: int) -> None:
    grid = spec(40, **{"max-parallel": 8, "cost-limit": 25})
    sim = Sim(grid, seed, RATE, overlap=OVERLAP)  # the seed is in the test's name
    sim.play()
    assert list(faults_of(sim)) == []
    assert given_up(sim) <= 1
    assert len(sim.calls.struck.keys() & set(KINDS)) >= 5


@pytest.mark.parametrize("seed", range(SEED, SEED + 20))
def test_a_grid_of_40_is_whole_while_its_functions_overlap(seed: int) -> None:
    grid = spec(40, **{"max-parallel": 20, "cost-limit": 25})
    sim = Sim(grid, seed, overlap=0.5, lasts=(1, 20))
    sim.play()
    assert list(faults_of(sim)) == []
    assert sim.record().ended == {"succeeded": 40}


def test_a_trial_starts_once_and_only_where_there_is_a_place_and_no_stop() -> None:
    sim = Sim(spec(4, **{"max-parallel": 2}), seed=1)
    grids, first = Trials(sim.steady), sim.record()
    assert grids.start(first, range(1, 2), "one", NOW)[0]
    assert grids.start(first, range(1, 2), "one", NOW)[0]  # its answer was lost: it comes again
    assert not grids.start(first, range(1, 2), "another", NOW)[0]
    assert (sim.record().running[1].by, sim.record().next) == ("one", 2)
    assert not grids.start(sim.record(), range(2, 4), "one", NOW)[0]  # there are two places
    assert grids.start(sim.record(), range(2, 3), "one", NOW)[0]
    grids.drop(sim.record(), 1)
    grids.stop(first.job, first.grid_id, "by hand", by_hand=True)
    assert not grids.start(sim.record(), range(3, 4), "one", NOW)[0]
    assert sim.record().running.keys() == {2}


@pytest.mark.parametrize("waits", [ROOM, MONEY])
def test_launches_that_failed_before_a_trial_waited_count_in_all_alone(waits: str) -> None:
    sim = Sim(spec(1), seed=1)
    grids, key = Trials(sim.steady), (sim.record().job, sim.record().grid_id)

    def entry_of(grid: GridRecord) -> tuple[int, str]:
        return grid.running[1].tries, grid.running[1].waits

    grids.start(sim.record(), range(1, 2), "one", NOW)
    for number in range(3):
        grids.send_again(sim.record(), sim.record().running[1], NOW)
        assert entry_of(sim.record()) == (number + 1, "")
    if waits == ROOM:
        assert grids.enter(*key, 1, claim=4, micros=5, limit=None).granted
        grids.leave(*key, 1, "4 5", waits=ROOM)
    else:
        grids.wait(*key, 1, MONEY, needs=5)
    assert entry_of(sim.record()) == (0, waits)
    assert sim.record().committed == 0
    # In all they do: else one that now finds no room and now fails would never end.
    grids.send_again(sim.record(), sim.record().running[1], NOW)
    assert sim.record().running[1].failed == 3
    grids.send_again(sim.record(), sim.record().running[1], NOW)
    assert (entry_of(sim.record()), sim.record().running[1].failed) == ((1, ""), 4)


def test_what_a_grid_takes_does_not_grow_with_its_trials() -> None:
    few, many = (
        Sim(spec(count, **{"max-parallel": 10, "cost-limit": 10_000}), 1, lasts=(40, 60))
        for count in (100, 1_000)
    )
    for sim in (few, many):
        sim.play()
        assert list(faults_of(sim)) == []
    for what in ("read_units", "write_units", "answered"):
        before, after = getattr(few.meter, what) / 100, getattr(many.meter, what) / 1_000
        assert after == pytest.approx(before, rel=0.1), what
    calls = [sim.meter.calls.total() / sim.grid.count for sim in (few, many)]
    assert calls[1] == pytest.approx(calls[0], rel=0.1)
    sizes = [size_of(sim.steady.items["grid#job", sim.record().grid_id]) for sim in (few, many)]
    assert sizes[1] < sizes[0] + 50
