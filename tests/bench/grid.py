"""What a grid takes: calls and time a trial, simulated at any size, and on the embedded cloud."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

from moto import mock_aws

from parris.aws.ledger import Ledger
from parris.aws.table import Table
from parris.aws.trials import Trials
from parris.runs.month import MICROS
from scripts.local import faults
from tests.bench.clone import deployed_clone
from tests.bench.figures import Figure
from tests.faults.injector import Injector
from tests.grid_sim import Sim, spec
from tests.grid_world import GRID, GridWorld
from tests.reap_world import machine_event

PARALLEL = 50


def bench_grids(few: int, many: int) -> Iterator[Figure]:
    """Simulate two grids, their ledger in memory and a clock; cost a trial is to stay the same."""
    calls, seconds, sizes = [], [], []
    for count in (few, many):
        begun = time.perf_counter()
        sim = Sim(spec(count, **{"max-parallel": PARALLEL, "cost-limit": 1_000_000}), seed=1)
        sim.play(most_steps=10 * count)
        seconds.append((time.perf_counter() - begun) / count)
        calls.append(sim.table.writes[0] / count)
        sizes.append(len(repr(sim.steady.items["grid#job", sim.record().grid_id])))
        assert sim.record().ended == {"succeeded": count}
        assert set(sim.made.values()) == {1}
        assert sim.spent <= sim.record().spent <= 1_000_000 * MICROS
    yield Figure(what=f"ledger calls a trial, {few} trials, simulated", value=calls[0])
    yield Figure(what=f"the same, {many} trials", value=calls[1], goal=round(calls[0] * 1.2, 1))
    yield Figure(
        what=f"time a trial of {many}, by that of {few}",
        value=seconds[1] / seconds[0],
        unit="times as long",
        goal=1.5,
    )
    yield Figure(what="the grid's item when it is over", value=sizes[1], unit="bytes", goal=4096)


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


def bench_grid_on_cloud(
    folder: Path, trials: int, parallel: int = PARALLEL, part: float = 0.05
) -> Iterator[Figure]:
    """Run a grid of a trainer that takes a second, while a part of the functions' calls fail."""
    config = {
        "training-job-name": "quick",
        **{"termination-method": "at-fixed-time", "time-limit": 10, "parameters": {"n": 0}},
    }
    home = folder / ".parris/local"
    with deployed_clone(folder, f"max_concurrent_runs = {parallel}\n") as clone:
        job = folder / "trainer/jobs/quick"
        job.mkdir()
        (job / "training-config.json").write_text(json.dumps(config))
        (job / "trainer-script.sh").write_text("#!/bin/bash\nsleep 1\n")
        clone.make("upload-config", "JOB=quick")
        dynamodb, functions = clone.client("dynamodb"), clone.client("lambda")
        grids = Trials(Table(dynamodb=lambda: dynamodb, name="parris-ledger"))
        begun = time.monotonic()
        options = ("JOB=quick", f"PARAMETERS=n=1..{trials}", f"MAX_PARALLEL={parallel}")
        clone.make("grid", *options, "COST_LIMIT=1000", "UPLOAD=0")
        faults.write(home, {"failing": {"part": part, "roles": "parris-[lr]*"}})
        grid = grids.newest(1)[0][0]
        while grid.is_open:
            time.sleep(10)
            functions.invoke(FunctionName="parris-reap", Payload=b"{}")
            grid = grids.read(grid.job, grid.grid_id) or grid
        seconds = time.monotonic() - begun
        found = Ledger(grids.table).all_begun_with(grid.grid_id[:16])[0]
    what = f"a grid of {trials} trials, {parallel} at once, {part:.0%} of all calls failing"
    yield Figure(what=what, value=seconds, unit="s")
    yield Figure(what="the same a trial", value=seconds / trials, unit="s")
    yield Figure(what="trials that were lost", value=trials - len(found), goal=0)
    ended = grid.ended.get("succeeded", 0)
    yield Figure(what="trials that did not succeed", value=trials - ended, goal=0)
    yield Figure(what="what they cost, in US dollars", value=grid.spent / MICROS, goal=1000)
