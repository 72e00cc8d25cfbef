"""Show a run's log: `parris logs`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from parris.contract import State
from parris.runs.times import iso
from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.cli.which_cloud import hint
from scripts.deployment.follow import follow, read_log
from scripts.deployment.outputs import read_deployment
from scripts.deployment.runs import find_run
from scripts.deployment.several import pick_run


def main(argv: list[str]) -> int:
    """Print the log of a run, by default of the newest; with --wait, follow it to the end.

    With --wait its result is that of the run, also where it is over already.
    """
    options = parse("logs", argv)
    deployment = read_deployment()
    since = options.since and options.since.moment
    run = pick_run(deployment, options.job or None, options.run or None, "make logs")
    status = 0
    if options.wait and run.is_over:
        status = 0 if run.state == State.SUCCEEDED else console.RUN_FAILED
    elif options.wait:
        try:
            status = follow(deployment, run.job, run.run_id, since=since)
        except KeyboardInterrupt:
            again = hint(f"make logs RUN={run.run_id} WAIT=1")
            print(f"\nthe run goes on; {again} follows it again", file=sys.stderr)
            return 130
        run = find_run(deployment, run.job, run.run_id)
        if not options.json:
            return status
    log = read_log(deployment, run, since)
    if options.wait:
        log = _without_refusal(log)
    if options.json:
        console.print_json(
            {"job": run.job, "run-id": run.run_id, "state": run.state, "log": "".join(log)}
        )
        return status
    lines = 0
    for text in log:
        print(text, end="")
        lines += 1
    if since and not lines:
        whole = hint(f"make logs RUN={run.run_id}")
        said = f"run {run.run_id} ({run.state}) has streamed no line since {iso(since)}"
        print(f"{said}; {whole} shows all there is", file=sys.stderr)
    return status


def _without_refusal(log: Iterator[str]) -> Iterator[str]:
    """Yield a log; say so if there is none: who waited gets the run's result all the same."""
    try:
        yield from log
    except console.Refused as error:
        print(error, file=sys.stderr)
