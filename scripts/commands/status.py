"""List runs and stacks: `parris status`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from parris.obituary import cost
from parris.stacks import stack_tags
from scripts import console
from scripts.arguments import parse
from scripts.deployment import read_deployment
from scripts.runs import Run, list_run_keys, list_stacks, read_runs


def main(argv: list[str]) -> int:
    """List the newest runs with their states and reasons, and the stacks that stand."""
    options = parse("status", argv)
    deployment = read_deployment()
    stacks = list_stacks(deployment)
    keys = list_run_keys(deployment, options.job or None)
    runs = read_runs(deployment, keys[: options.count], stacks)
    if options.json:
        console.print_json(
            {"runs": [_plain(run) for run in runs], "stacks": [_plain_stack(s) for s in stacks]}
        )
        return 0
    if not runs:
        of = f" of job {options.job}" if options.job else ""
        print(f"no run{of} yet; make upload-config and make launch start the first")
        return 0
    _print_table(runs)
    if len(keys) > len(runs):
        print(f"{len(keys) - len(runs)} older runs not shown")
    over = [run for run in runs if run.is_over and run.stack is not None]
    if over:
        print(
            f"{len(over)} stacks of runs that are over still stand; make clean-stacks removes them"
        )
    return 0


_HEADINGS = ("RUN", "JOB", "STATE", "ENDED BY", "STACK", "CLAIMED", "DEADLINE", "COST", "WHY")


def _print_table(runs: Sequence[Run]) -> None:
    rows = [
        (
            run.run_id,
            run.job,
            run.state,
            run.ended_by or "-",
            run.stack["StackStatus"] if run.stack else "-",
            _age(run.receipt.get("claimed")),
            "-" if run.is_over else str(run.receipt.get("deadline", "-")),
            _cost(run),
            run.reason,
        )
        for run in runs
    ]
    console.print_table(_HEADINGS, rows)


def _age(claimed: str | None) -> str:
    if claimed is None:
        return "-"
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(claimed)).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _cost(run: Run) -> str:
    """Return what a run has cost: at its end by its outcome, before that so far."""
    if run.outcome is not None:
        spent = run.outcome.get("cost-usd")
    elif run.is_over or "claimed" not in run.receipt:
        spent = None
    else:
        spent = cost(run.receipt, datetime.fromisoformat(run.receipt["claimed"]), datetime.now(UTC))
    return "-" if spent is None else f"${spent:.4f}"


def _plain(run: Run) -> dict[str, Any]:
    return {
        "job": run.job,
        "run-id": run.run_id,
        "state": run.state,
        "reason": run.reason,
        "ended-by": run.ended_by,
        "stack-status": run.stack["StackStatus"] if run.stack else None,
        "receipt": run.receipt,
        "outcome": run.outcome,
    }


def _plain_stack(stack: Mapping[str, Any]) -> dict[str, Any]:
    tags = stack_tags(stack)
    return {
        "stack-name": stack["StackName"],
        "status": stack["StackStatus"],
        "job": tags.get("parris:job"),
        "run-id": tags.get("parris:run-id"),
        "deadline": tags.get("parris:deadline"),
    }
