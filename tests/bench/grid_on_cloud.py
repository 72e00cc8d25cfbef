"""What a grid takes on the embedded cloud: its trials are runs, with stacks and machines.

``python -m tests.bench --grid 1000 50`` runs large ones, for more than an hour on two cores.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from parris.aws.ledger import Ledger
from parris.aws.table import Table
from parris.aws.trials import Trials
from parris.runs.grid import GridRecord
from parris.runs.month import MICROS
from scripts.local import call_counts, cloud, faults, processes
from tests.bench.clone import Clone, deployed_clone
from tests.bench.figures import Figure

log = logging.getLogger(__name__)

FAILING = 0.05
"""The part of both functions' calls that fails, in the second grid."""

SWEEP_SECONDS = 30
"""How often a sweep comes here, instead of every 10 minutes: a lost launch is found by one."""

LIMIT_USD = 100
"""Of the grid. A trial is short: 1,000 of them cost a dollar."""

GOAL_CALLS = 120
"""Of a trial: the machine's are most of them."""

CONFIG = {
    "training-job-name": "quick",
    **{"termination-method": "at-fixed-time", "time-limit": 10, "parameters": {"n": 0}},
}


def bench_grid_on_cloud(folder: Path, trials: int, parallel: int) -> Iterator[Figure]:
    """Run two grids of a trainer that takes a second; of the second one's calls a part fails."""
    with deployed_clone(folder, f"max_concurrent_runs = {parallel}\n") as clone:
        job = folder / "trainer/jobs/quick"
        job.mkdir()
        (job / "training-config.json").write_text(json.dumps(CONFIG))
        (job / "trainer-script.sh").write_text("#!/bin/bash\nsleep 1\n")
        clone.make("upload-config", "JOB=quick")
        what = f"a grid of {trials} trials of 1 s, {parallel} at once"
        yield from _grid(clone, what, trials, parallel, {})
        failing = {"failing": {"part": FAILING, "roles": "parris-[lr]*"}}
        what = f"{what}, {FAILING:.0%} of the functions' calls failing"
        yield from _grid(clone, what, trials, parallel, failing)


def _grid(
    clone: Clone, what: str, trials: int, parallel: int, failing: dict[str, Any]
) -> Iterator[Figure]:
    home, dynamodb = clone.folder / ".parris/local", clone.client("dynamodb")
    grids = Trials(Table(dynamodb=lambda: dynamodb, name="parris-ledger"))
    calls, cpu, begun = _calls(clone, home), _cpu_seconds(home), time.monotonic()
    options = ("JOB=quick", f"PARAMETERS=n=1..{trials}", f"MAX_PARALLEL={parallel}")
    clone.make("grid", *options, f"COST_LIMIT={LIMIT_USD}", "UPLOAD=0")
    faults.write(home, failing)
    try:
        grid = _until_over(clone, grids)
    finally:
        faults.write(home, {})
    seconds = time.monotonic() - begun
    yield Figure(what=what, value=seconds, unit="s")
    yield Figure(what="a trial", value=seconds / trials, unit="s")
    yield Figure(what="CPU of a trial", value=(_cpu_seconds(home) - cpu) / trials, unit="s")
    yield from _of_calls(_calls(clone, home) - calls, trials, None if failing else GOAL_CALLS)
    usd = sum(run.outcome.get("cost-usd") or 0 for run in _runs(grids, grid) if run.outcome)
    yield Figure(what="what its trials cost, in US cents", value=100 * usd)
    yield Figure(
        what="what its limit counts of that", value=100 * grid.spent / MICROS, goal=100 * LIMIT_USD
    )
    ended = grid.ended.get("succeeded", 0)
    yield Figure(what="trials lost", value=trials - len(_runs(grids, grid)), goal=0)
    yield Figure(what="trials that did not succeed", value=trials - ended, goal=0)
    yield Figure(what="trials with two stacks", value=_twice(clone, grids, grid), goal=0)


def _until_over(clone: Clone, grids: Trials) -> GridRecord:
    functions = clone.client("lambda")
    grid = grids.newest(1)[0][0]
    while grid.is_open:
        # As EventBridge asks: nobody waits for the end of a sweep, which may take a minute where 50
        # machines share two cores.
        functions.invoke(FunctionName="parris-reap", InvocationType="Event", Payload=b"{}")
        until = time.monotonic() + SWEEP_SECONDS
        while grid.is_open and time.monotonic() < until:
            time.sleep(1)
            grid = grids.read(grid.job, grid.grid_id) or grid
    return grid


def _runs(grids: Trials, grid: GridRecord) -> list[Any]:
    runs = Ledger(grids.table).all_begun_with(grid.grid_id[:16])[0]
    return [run for run in runs if run.trial and run.trial[0] == grid.grid_id]


def _twice(clone: Clone, grids: Trials, grid: GridRecord) -> int:
    """Return how many trials have had more than one stack, and say which, and what is known."""
    pages = clone.client("cloudformation").get_paginator("list_stacks").paginate()
    stacks = [one for page in pages for one in page["StackSummaries"]]
    names = Counter(one["StackName"] for one in stacks)
    twice = [run for run in _runs(grids, grid) if names[run.receipt.get("stack-name")] > 1]
    for run in twice:
        log.warning("%s: %s claims, %s, %s", run.name, run.claims, run.attempts, run.outcome)
        for one in stacks:
            if one["StackName"] == run.receipt.get("stack-name"):
                log.warning("  %s", one)
    return len(twice)


def _of_calls(calls: Counter[str], trials: int, goal: float | None) -> Iterator[Figure]:
    yield Figure(what="calls to AWS a trial", value=calls.total() / trials, goal=goal)
    services: Counter[str] = Counter()
    for name, count in calls.items():
        services[name.rpartition(" ")[2]] += count
    for service, count in services.most_common():
        yield Figure(what=f"of these to {service}", value=count / trials)


def _calls(clone: Clone, home: Path) -> Counter[str]:
    time.sleep(call_counts.EVERY_SECONDS)
    clone.client("sts").get_caller_identity()  # with which the counts are written
    return call_counts.read(home)


def _cpu_seconds(home: Path) -> float:
    """Return the CPU time of a cloud, its functions and machines, those included that are gone.

    Linux only: elsewhere it is 0. A process counts what its children took that it waited for.
    """
    held = cloud.read_cloud(home)
    if held is None:
        return 0
    ticks = 0
    for pid in {held.pid, *processes.descendants(processes.parents_of_all(), held.pid)}:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")
