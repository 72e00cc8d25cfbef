"""End a run early, gently: `parris stop`."""

from __future__ import annotations

import json
from argparse import Namespace
from datetime import UTC, datetime

from parris.contract import State
from parris.events.router import relaunch_event
from parris.runs.times import iso
from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.cli.console import RUN_FAILED, Refused
from scripts.cli.which_cloud import hint
from scripts.deployment import grids, show_grid
from scripts.deployment.follow import follow
from scripts.deployment.outputs import Deployment, read_deployment
from scripts.deployment.runs import Run, change_receipt, find_run
from scripts.deployment.several import pick_run_to_change
from scripts.deployment.stores import ledger_of


def main(argv: list[str]) -> int:
    """Ask a run to stop: its machine ends the trainer, stores the results and terminates."""
    options = parse("stop", argv)
    deployment = read_deployment()
    if options.grid:
        return _stop_grid(deployment, options)
    run = pick_run_to_change(deployment, options.job or None, options.run or None, "make stop")
    if run.is_over:
        raise Refused(f"run {run.run_id} of job {run.job} is over already: {run.state}")
    stop = {"requested": iso(datetime.now(UTC)), "by": "make stop"}
    change_receipt(deployment, run, lambda receipt: {**receipt, "stop": stop})
    grace = run.receipt.get("stop-grace-seconds", 30)
    state = _between_machines(deployment, run) if run.state == State.RELAUNCHING else ""
    if state:
        print(f"run {run.run_id} of job {run.job} has no machine now and gets no other: {state}")
    else:
        print(
            f"run {run.run_id} of job {run.job} was asked to stop; its machine looks every 15 s, "
            f"gives the trainer {grace} s after SIGTERM, and stores the results"
        )
    if options.wait:
        follow(deployment, run.job, run.run_id)
        run = find_run(deployment, run.job, run.run_id)
    elif not state:
        print(
            hint(
                f"follow it with make logs RUN={run.run_id} WAIT=1; "
                "if it does not answer: make clean-stacks ALL=1"
            )
        )
    if options.json:
        state = run.state if options.wait else state or run.state
        console.print_json({"job": run.job, "run-id": run.run_id, "state": state})
    return 0 if run.state == State.STOPPED or not options.wait else RUN_FAILED


def _stop_grid(deployment: Deployment, options: Namespace) -> int:
    if options.run:
        raise Refused("RUN= ends one run, and GRID= a grid with all its trials: give one of them")
    grid = grids.find_grid(deployment, options.job or None, options.grid)
    answer = grids.stop(deployment, grid)
    print(
        f"grid {grid.grid_id} of job {grid.job} begins no more trials; the "
        f"{answer['under-way']} under way are asked to stop, each within a minute or so"
    )
    if options.wait:
        for now_is in grids.follow(deployment, grid):
            print(show_grid.line_of(now_is), flush=True)
    if options.json:
        console.print_json(answer)
    return 0


def _between_machines(deployment: Deployment, run: Run) -> str:
    """Let the launch function look at a run that is to get another machine; return how it ended.

    "" if its next machine is on its way already, which then looks by itself.
    """
    record = ledger_of(deployment).read(run.job, run.run_id)
    if record is None or record.next is None:
        return ""
    event = relaunch_event(run.job, run.run_id, record.next.number)
    answer = deployment.client("lambda").invoke(
        FunctionName=deployment.launch_function, Payload=json.dumps(event).encode()
    )
    # If it fails, the next sweep sends the same event.
    return str(json.loads(answer["Payload"].read()).get("over", ""))
