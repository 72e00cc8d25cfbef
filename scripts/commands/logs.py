"""Show a run's log: `parris logs`."""

from __future__ import annotations

from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.deployment.follow import follow, read_log
from scripts.deployment.outputs import read_deployment
from scripts.deployment.runs import find_run
from scripts.deployment.several import pick_run


def main(argv: list[str]) -> int:
    """Print the log of a run, by default of the newest; with --wait, follow it to the end."""
    options = parse("logs", argv)
    deployment = read_deployment()
    run = pick_run(deployment, options.job or None, options.run or None, "make logs")
    status = 0
    if options.wait and not run.is_over:
        status = follow(deployment, run.job, run.run_id)
        run = find_run(deployment, run.job, run.run_id)
        if not options.json:
            return status
    log = read_log(deployment, run)
    if options.json:
        console.print_json(
            {"job": run.job, "run-id": run.run_id, "state": run.state, "log": "".join(log)}
        )
        return status
    for text in log:
        print(text, end="")
    return status
