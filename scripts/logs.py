"""Show a run's log: `make logs [JOB=x] [RUN=id] [WAIT=1]`."""

from __future__ import annotations

import argparse

from scripts import console
from scripts.deployment import read_deployment
from scripts.follow import follow, print_log
from scripts.several import pick_run


def main(argv: list[str]) -> int:
    """Print the log of a run, by default of the newest; with --wait, follow it to the end."""
    parser = argparse.ArgumentParser(prog="make logs", description=main.__doc__)
    parser.add_argument("--job")
    parser.add_argument("--run")
    parser.add_argument("--wait", action="store_true")
    options = parser.parse_args(argv)
    deployment = read_deployment()
    run = pick_run(deployment, options.job or None, options.run or None, "make logs")
    if options.wait and not run.is_over:
        return follow(deployment, run.job, run.run_id)
    print_log(deployment, run)
    return 0


if __name__ == "__main__":
    console.run(main)
