"""Write one HTML file that shows runs, or the trials of a grid: `parris report`."""

from __future__ import annotations

import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from parris.runs.times import iso
from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.cli.console import Refused
from scripts.cli.plain_text import one_line
from scripts.cli.which_cloud import hint
from scripts.cli.words import counted
from scripts.deployment import grids
from scripts.deployment.newest import Wanted, read_newest
from scripts.deployment.outputs import ROOT, Deployment, read_deployment
from scripts.deployment.runs import Run, find_run, list_stacks
from scripts.report import grid
from scripts.report.gather import MOST_DETAILED, gather
from scripts.report.page import build_page
from scripts.report.publish import publish

_DEFAULT = Path("results/report.html")


@dataclass(frozen=True, kw_only=True)
class _Content:
    """What a report is of, as it was gathered."""

    title: str
    name: str
    """What the key begins with that it is published under."""
    said: str
    """What it has, in a word or two."""
    data: dict[str, Any]
    lines: Sequence[str]
    """What is printed of it."""


def main(argv: list[str]) -> int:
    """Gather the runs, write the page, and publish it if that is asked for."""
    options = parse("report", argv)
    path = _path(options.output)
    if options.grid and options.runs:
        raise Refused("GRID= reports the trials of one grid: leave RUNS out")
    deployment, now = read_deployment(), datetime.now(UTC)
    found = (_of_grid if options.grid else _of_runs)(deployment, options, now)
    size = write(path, build_page(found.title, found.data))
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    print(f"{shown}: {found.said}, {size:,} bytes; open it in a browser, or mail it")
    for line in found.lines:
        print(one_line(line))
    runs = len(found.data["runs"])
    answer = {"file": str(path), "bytes": size, "runs": runs, "link": None, "expires": None}
    if options.publish:
        published = publish(deployment, path, found.name, now)
        ends = ", or with the credentials that signed it" if published.may_end_before else ""
        print(f"published as s3://{deployment.results_bucket}/{published.key}")
        print(f"whoever has this link may read it until {iso(published.expires)}{ends}:")
        print(published.link)
        answer |= {"link": published.link, "expires": iso(published.expires)}
    if options.json:
        console.print_json(answer)
    return 0


def _of_runs(deployment: Deployment, options: Namespace, now: datetime) -> _Content:
    job = options.job or None
    of = f" of job {job}" if job else ""
    runs, notes = _runs(deployment, job, options.runs, options.count)
    if not runs:
        raise Refused(f"there is no run{of} to report; make launch starts one")
    name = job or deployment.deployment
    data: dict[str, Any] = {
        "about": f"{counted(len(runs), 'run')}{of} of deployment {deployment.deployment} in "
        f"{deployment.region}, as of {iso(now)}. All times are UTC.",
        "notes": notes,
        "runs": gather(deployment, runs, now),
    }
    said = counted(len(runs), "run")
    return _Content(title=f"Runs of {name}", name=name, said=said, data=data, lines=notes)


def _of_grid(deployment: Deployment, options: Namespace, now: datetime) -> _Content:
    found = grids.find_grid(deployment, options.job or None, options.grid)
    runs = grid.read_trials(deployment, found)
    notes = grid.notes_of(found)
    if len(runs) > options.count:
        notes.append(f"The best {options.count} of {len(runs)} trials are in it: COUNT= says so.")
    if min(len(runs), options.count) > MOST_DETAILED:
        notes.append(f"Curves, logs, images and receipts are of the best {MOST_DETAILED} trials.")
    head = grid.head_of(deployment, found, runs, now)
    shown = runs[: options.count]
    data: dict[str, Any] = {
        "about": grid.about(deployment, found, now),
        "notes": [hint(note) for note in notes],
        "grid": head,
        "runs": gather(deployment, shown, now),
    }
    again = head["best"]["again"] if head["best"] else ()
    return _Content(
        title=f"Grid of {found.job}",
        name=found.job,
        said=f"grid {found.grid_id}, {counted(len(shown), 'trial')}",
        data=data,
        lines=[*data["notes"], *(f"{way['command']} {way['does']}" for way in again)],
    )


def _path(output: str | None) -> Path:
    """Return where the page is to be.

    Raises:
        Refused: if a folder is there.
    """
    path = Path(output).absolute() if output else ROOT / _DEFAULT
    if path.is_dir() or (output or "").endswith("/"):
        raise Refused(f"OUTPUT={output} is a folder; name a file, such as {path / 'report.html'}")
    return path


def _runs(
    deployment: Deployment, job: str | None, named: Sequence[str], count: int
) -> tuple[list[Run], list[str]]:
    """Return the runs to report, the newest first, and what is to be said of others."""
    if named:
        found = {run.run_id: run for run in (find_run(deployment, job, name) for name in named)}
        runs = sorted(found.values(), key=lambda run: run.run_id, reverse=True)
        more = False
    else:
        newest = read_newest(deployment, Wanted(count=count, job=job), list_stacks(deployment))
        for problem in newest.problems:
            said = one_line(f"note: an item of the ledger holds no run: {problem}")
            print(said, file=sys.stderr)
        both = (*newest.runs, *newest.refused)
        runs, more = sorted(both, key=lambda run: run.run_id, reverse=True), newest.more
    notes = []
    if more:
        notes.append(f"Older runs are not in it: COUNT={count} runs were asked for.")
    if len(runs) > MOST_DETAILED:
        notes.append(
            f"Curves, logs, images and receipts are of the newest {MOST_DETAILED} runs; "
            "make report RUNS=… has those of the runs that it names."
        )
    return runs, [hint(note) for note in notes]


def write(path: Path, page: str) -> int:
    """Write the page, whole or not at all; return its size in bytes."""
    body = page.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return len(body)
