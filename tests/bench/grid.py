"""What a grid takes, simulated at any size: the real rules and writes, a ledger in memory, a clock.

`grid_on_cloud` has fewer trials, which are runs with stacks and machines.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from moto import mock_aws

from parris.runs.month import MICROS
from tests.bench.figures import Figure
from tests.faults.injector import Injector
from tests.grid_sim import CHEAPEST, DEAREST, Sim, faults_of, given_up, spec
from tests.grid_world import GRID, GridWorld
from tests.plans import NOW
from tests.reap_world import machine_event

PARALLEL = 50
CALLS = "calls to the ledger"
SECONDS = (40, 60)
"""That a trial takes."""

RATE, OVERLAP = 0.05, 0.02
"""The part of all calls that fails, and the part before which another function comes."""

GOAL_CALLS = 15
"""To the ledger, of a trial."""
GOAL_GROWTH = 1.05
"""What a trial of the largest grid takes, by what one of the smallest takes: it is to stay flat.
The smallest has its first and last trials, with fewer beside them, in a larger part of its time."""
GOAL_TIME_GROWTH = 1.5
"""The same of this machine's time, which is not as steady."""
GOAL_ITEM_BYTES = 16_384
"""Of the largest item at any moment, that of the grid or that of who has room: 50 trials each."""


GOAL_GIVEN_UP = 1
"""Of a thousand trials, while calls fail."""
GOAL_MONTH_BYTES = 65_536
"""That the first launch of the next month is handed of this one's runs, however many there were."""


def bench_grids(counts: tuple[int, ...]) -> Iterator[Figure]:
    """Simulate grids of so many trials, the fewest first; what a trial takes is to stay flat."""
    first: dict[str, float] = {}
    for count in counts:
        limit = count * DEAREST / MICROS
        grid = spec(count, **{"max-parallel": PARALLEL, "cost-limit": limit})
        sim = Sim(grid, seed=1, lasts=SECONDS)
        began = time.process_time()
        sim.play(days=365)
        took = (time.process_time() - began) / count
        what = f"a simulated grid of {count} trials, {PARALLEL} at once"
        yield from _found(what, sim)
        meter = sim.meter
        taken = {
            CALLS: meter.calls.total() / count,
            "read units": meter.read_units / count,
            "write units": meter.write_units / count,
            "bytes answered": meter.answered / count,
            "events sent": sim.sent / count,
        }
        goals = {name: value * GOAL_GROWTH for name, value in first.items()}
        for name, value in taken.items():
            goal = goals.get(name, GOAL_CALLS if name == CALLS else None)
            yield Figure(what=f"{name} a trial", value=value, goal=goal)
        first = first or {**taken, "time": took}
        growth = took / first["time"]
        what = f"time a trial of {count}, by that of {counts[0]}"
        yield Figure(what=what, value=growth, unit="times as long", goal=GOAL_TIME_GROWTH)
        largest = meter.largest_item
        yield Figure(what="the largest item", value=largest, unit="bytes", goal=GOAL_ITEM_BYTES)
        yield from _next_month(sim)
        yield Figure(what="simulated time", value=(sim.now - NOW).total_seconds() / 3600, unit="h")


def _next_month(sim: Sim) -> Iterator[Figure]:
    """Tell what the first launch of the next month reads, if that has a budget: all runs."""
    meter = sim.meter
    calls, answered = meter.calls["Query"], meter.answered
    assert list(sim.ledger.claimed_in("2026-12")) == []
    what = "calls of the next month's first launch, where it has a budget"
    yield Figure(what=what, value=meter.calls["Query"] - calls)
    handed = meter.answered - answered
    yield Figure(what="what these hand it", value=handed, unit="bytes", goal=GOAL_MONTH_BYTES)


def bench_failing_grid(count: int, seed: int) -> Iterator[Figure]:
    """Simulate two grids of which calls fail, one with dollars for all trials, one with fewer."""
    for usd in (count * DEAREST / MICROS, count * CHEAPEST / 4 / MICROS):
        grid = spec(count, **{"max-parallel": PARALLEL, "cost-limit": usd})
        sim = Sim(grid, seed, RATE, overlap=OVERLAP, lasts=SECONDS)
        sim.play()
        what = f"a simulated grid of {count} trials, {PARALLEL} at once, ${usd:g} at most"
        yield from _found(f"{what}, {RATE:.0%} of all calls failing, seed {seed}", sim)
        calls = sim.meter.calls.total() / max(1, len(sim.made))
        yield Figure(what="calls that failed", value=sim.calls.struck.total())
        yield Figure(what="calls to the ledger a trial that ran", value=calls)


def _found(what: str, sim: Sim) -> Iterator[Figure]:
    """Tell whether each trial ran once, within the dollars; what else is wrong is named."""
    grid, wrong = sim.record(), list(faults_of(sim))
    wanted = len(sim.made) + given_up(sim) if grid.stop else sim.grid.count
    lost = wanted - grid.over
    twice = sum(stacks > 1 for stacks in sim.made.values())
    over = max(0, max(sim.most, grid.spent) - (grid.limit or 0)) / MICROS
    yield Figure(what=f"{what}: lost", value=lost, goal=0)
    yield Figure(what="run twice", value=twice, goal=0)
    yield Figure(what="given up after eleven launches", value=given_up(sim), goal=GOAL_GIVEN_UP)
    yield Figure(what="dollars over its limit", value=over, goal=0)
    yield Figure(what=f"what is wrong in all {wrong or ''}".strip(), value=len(wrong), goal=0)
    yield Figure(what="what its trials cost, in US dollars", value=sim.spent / MICROS)


def bench_calls() -> Iterator[Figure]:
    """Count what both functions call for a trial, on moto: its launch, its end, what follows."""
    with mock_aws():
        world = GridWorld()
        world.begin({**GRID, "cost-limit": 5, "max-parallel": 1})
        world.settle_down()
        injector = Injector(world.clients)
        ended = world.end_machine(world.grid().run_id(1))
        with injector.at_work():
            world.reap(1, machine_event(ended))
            world.settle_down()
    calls = {name: count for name, count in injector.calls.items() if count}
    yield Figure(
        what="calls for the end of a trial and the launch of the next", value=sum(calls.values())
    )
    of_ledger = sum(count for name, count in calls.items() if name.startswith("dynamodb."))
    yield Figure(what="of these to the ledger", value=of_ledger)
