"""Fetch a run's results: `parris results`."""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

from parris.runs.times import iso
from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.cli.which_cloud import hint
from scripts.cli.words import ago, counted
from scripts.deployment.fetch import fetch
from scripts.deployment.outputs import ROOT, read_deployment
from scripts.deployment.runs import Run
from scripts.deployment.several import pick_run


def main(argv: list[str]) -> int:
    """Download what a run stored, by default the newest run, to results/<job>/<run-id>/."""
    options = parse("results", argv)
    deployment = read_deployment()
    run = pick_run(deployment, options.job or None, options.run or None, "make results")
    folder = Path(options.to or ROOT / "results").absolute() / run.job / run.run_id
    try:
        fetched = fetch(deployment, run, folder, options.only or "")
    except KeyboardInterrupt:
        only = f" ONLY={shlex.quote(options.only)}" if options.only else ""
        again = hint(f"make results RUN={run.run_id}{only}")
        print(f"\nwhat has come stays; {again} goes on where this ended", file=sys.stderr)
        return 130
    shown = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
    where = f" in {shown}/" if fetched.count else ""
    files = counted(fetched.count, "file")
    old = fetched.count - fetched.new
    news = f", {fetched.new or 'none'} of them new" if old else ""
    print(f"run {run.run_id} of job {run.job}: {run.state}; {files}{where}{news}")
    if not run.is_over:
        print(hint(_how_old(run, fetched.stored, datetime.now(UTC))))
    if fetched.refused:
        were = counted(len(fetched.refused), "object was", "objects were")
        print(f"{were} not fetched:", *fetched.refused, sep="\n  ")
    if options.json:
        console.print_json(
            {
                "job": run.job,
                "run-id": run.run_id,
                "state": run.state,
                "folder": str(folder),
                "files": fetched.count,
                "new": fetched.new,
                "refused": fetched.refused,
            }
        )
    return 1 if fetched.refused else 0


def _how_old(run: Run, stored: datetime | None, now: datetime) -> str:
    """Return how far behind a run that goes on its fetched results are, and what fetches more."""
    pause = run.receipt.get("sync-interval-seconds")
    every = f" (it stores every {pause} s)" if pause else ""
    if stored is None:
        what = "its machine has stored nothing yet"
    else:
        what = f"its machine stored the newest of this {ago(stored, now)}, {iso(stored)}"
    again = f"make results RUN={run.run_id} fetches what has come since"
    return f"the run goes on: {what}{every}; {again}"
