"""Print every figure, from one run: `make bench`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from parris.jobs.grid import MAX_PARALLEL, MAX_TRIALS
from scripts import package_lambda
from scripts.local import owners
from tests.bench.clean import bench_clean_stacks
from tests.bench.clone import deployed_clone
from tests.bench.figures import Figure
from tests.bench.grid import bench_calls, bench_failing_grid, bench_grids
from tests.bench.grid_on_cloud import bench_grid_on_cloud
from tests.bench.launch import PAIRS, bench_launch
from tests.bench.ledger import bench_arrivals, bench_slots, bench_sweep
from tests.bench.machine import bench_machine
from tests.bench.setup import SCIKIT_LEARN, bench_setup
from tests.bench.status import bench_status
from tests.bench.upload import bench_upload

LIVE = 1_000
ROUNDS = 1_000
ARRIVALS = 100_000
TRIALS, SHORT_TRIALS = (1_000, 10_000, 100_000), (500, 1_500)
"""Of the simulated grids. The largest takes some minutes and 1 GB."""
FAILING_TRIALS, SHORT_FAILING_TRIALS = 1_000, 200
ON_CLOUD = (40, 8)
"""Trials of the grid on the embedded cloud, and how many at once."""
SEED = datetime.now(UTC).toordinal()


def main() -> int:
    """Return 1 if a figure is over twice its goal: a busy machine alone does not do that."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--short", action="store_true", help="what takes less than two minutes")
    parser.add_argument(
        "--setup", nargs=2, metavar=("PACKAGE", "MODULE"), help="only the setup of that package"
    )
    parser.add_argument(
        "--grid",
        nargs=2,
        type=_trials,
        metavar=("TRIALS", "AT_ONCE"),
        help="only a grid on the embedded cloud, with so many at once: 1000 50",
    )
    parser.add_argument(
        "--simulated", type=_trials, metavar="TRIALS", help="only simulated grids: 100000"
    )
    parser.add_argument(
        "--seed", type=int, default=SEED, help="what goes wrong in simulated grids; %(default)s"
    )
    options = parser.parse_args()
    if options.grid and options.grid[1] > MAX_PARALLEL:
        parser.error(f"a grid has {MAX_PARALLEL} trials at once at most")
    owners.own()
    bad = []
    with tempfile.TemporaryDirectory() as temporary:
        for figure in _chosen(Path(temporary), options):
            print(figure, flush=True)
            if not figure.is_within(2):
                bad.append(figure)
    for figure in bad:
        print(f"error: over twice its goal: {figure}", file=sys.stderr)
    return 1 if bad else 0


def _trials(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not 1 <= number <= MAX_TRIALS:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 to {MAX_TRIALS}")
    return number


def _chosen(folder: Path, options: argparse.Namespace) -> Iterator[Figure]:
    if options.setup:
        return _setup(folder, *options.setup)
    if options.grid:
        return bench_grid_on_cloud(folder / "grids", *options.grid)
    if options.simulated:
        few = min(TRIALS[0], options.simulated)
        return chain(bench_grids((few, options.simulated)), bench_failing_grid(few, options.seed))
    return _figures(folder, options.short, options.seed)


def _setup(folder: Path, package: str, module: str) -> Iterator[Figure]:
    with deployed_clone(folder / "clone") as clone:
        yield from bench_setup(clone, package, module)


def _figures(folder: Path, short: bool, seed: int) -> Iterator[Figure]:
    size = package_lambda.build("launch")
    yield Figure(what="launch.zip", value=size, unit="bytes", goal=package_lambda.MAX_BYTES)
    with zipfile.ZipFile(package_lambda.ZIPS["launch"]) as archive:
        archive.extractall(folder / "package")
    yield from chain(
        bench_launch(folder / "package", 3 if short else PAIRS),
        bench_sweep(LIVE // 5 if short else LIVE),
        bench_status(),
        bench_slots(folder / "slots", ROUNDS // 50 if short else ROUNDS),
        bench_arrivals(folder / "arrivals", ARRIVALS // 100 if short else ARRIVALS),
        bench_calls(),
        bench_grids(SHORT_TRIALS if short else TRIALS),
        bench_failing_grid(SHORT_FAILING_TRIALS if short else FAILING_TRIALS, seed),
    )
    if not short:
        with deployed_clone(folder / "clone") as clone:
            yield from bench_machine(clone)
            yield from bench_setup(clone, *SCIKIT_LEARN)
        yield from bench_upload(folder / "upload")
        yield from bench_clean_stacks(folder / "cloud")
        yield from bench_grid_on_cloud(folder / "grids", *ON_CLOUD)


if __name__ == "__main__":
    sys.exit(main())
