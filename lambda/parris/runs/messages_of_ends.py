"""What a person is told of a run that ended, or lost its machine, or was never launched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..contract import MAY_GO_ON, State
from .messages import KINDS, Notice, short
from .metrics import metrics_line, read_metrics

if TYPE_CHECKING:
    from .documents import Outcome, Receipt

_ENDS: Mapping[str, str] = {
    State.TIMED_OUT: "was ended at its deadline",
    State.LAUNCH_FAILED: "could not be launched",
}


def ended(job: str, run_id: str, receipt: Receipt, outcome: Outcome, log_end: str) -> Notice:
    """Return the notice of a run that is over.

    Args:
        receipt: the run's ``run.json``, or as much of it as is left.
        outcome: the run's ``outcome.json``.
        log_end: the last of its log; "" if there is none.
    """
    state = str(outcome["state"])
    seconds, cost = outcome.get("trainer-seconds"), outcome.get("cost-usd")
    took = "" if seconds is None else f" after {_duration(float(seconds))}"
    spent = "" if cost is None else f", ${cost:.2f}"
    begun, over = receipt.get("claimed", "unknown"), outcome.get("finished") or "unknown"
    told = metrics_line(read_metrics(outcome.get("metrics")))
    tail = [short(line) for line in log_end.splitlines()[-10:]]
    resume = f"Begin a new run with its checkpoints, if it has some: make launch RESUME={run_id}"
    return Notice(
        event=state,
        job=job,
        subject=f"Parris: {job} {_ENDS.get(state, state)}{took}{spent}",
        lines=[
            f"Job {job} {_ENDS.get(state, state)}: {outcome.get('reason', '')}",
            f"run       {run_id}",
            f"launched  {begun}, over {over}",
            f"trained   {'not at all' if seconds is None else _duration(float(seconds))}",
            f"cost      {'unknown' if cost is None else f'${cost:.4f}'}",
            f"ended by  {outcome.get('ended-by', 'unknown')}",
            *([f"metrics   {told}"] if told else []),
            *map(_attempt, outcome.get("attempts", [])),
            *outcome.get("warnings", []),
            *(["", "The end of its log:", *(f"  {line}" for line in tail)] if tail else []),
            "",
            f"Look closer: make logs RUN={run_id}; fetch what it stored: make results RUN={run_id}",
            *([resume] if goes_on(outcome) else []),
        ],
        facts={
            "run-id": run_id,
            "state": state,
            **{name: value for name, value in outcome.items() if name not in ("console", "job")},
            "launched": begun,
            "log": tail,
        },
    )


def goes_on(outcome: Outcome) -> bool:
    """Return whether another run may be wanted that goes on from this one."""
    return outcome.get("state") in MAY_GO_ON and outcome.get("bytes-stored") != 0


def not_deleted(job: str, run_id: str, stack_name: str, reason: str) -> Notice:
    """Return the notice of a stack that CloudFormation could not delete, and why."""
    return Notice(
        event="delete-failed",
        job=job,
        subject=f"Parris: the stack of {job} could not be deleted",
        lines=[
            f"CloudFormation could not delete stack {stack_name}: {reason}",
            f"run       {run_id}",
            "",
            "What is left of it, a machine for one, costs money. Cure what the reason names: each "
            "sweep tries again.",
            "Look closer: make status; the stack's events in CloudFormation",
        ],
        facts={"run-id": run_id, "stack-name": stack_name, "reason": reason},
    )


def month_nearly_spent(
    month: str, spent: float, reserved: float, runs: int, budget: float
) -> Notice:
    """Return the notice that little of a month's budget is left.

    Args:
        spent: US dollars, as `reserved`, for so many `runs` under way, and `budget`.
    """
    used = spent + reserved
    part = f"{100 * used / budget:.0f} %"
    return Notice(
        event="budget",
        job="default",
        subject=f"Parris: {part} of the budget of {month} is spent or reserved",
        lines=[
            f"Of ${budget:.2f} (monthly_budget_usd) in {month}:",
            f"spent     ${spent:.4f}",
            f"reserved  ${reserved:.4f} for what is under way ({runs})",
            f"left      ${max(0.0, budget - used):.4f}",
            "",
            "A launch that may cost more than what is left is refused. What a run does not use of "
            "its reservation is given back when it ends.",
            f"Look closer: make costs MONTH={month}",
        ],
        facts={
            "month": month,
            "spent-usd": f"{spent:.4f}",
            "reserved-usd": f"{reserved:.4f}",
            "budget-usd": f"{budget:.4f}",
        },
    )


def launch_died(job: str, run_id: str, receipt: Receipt, why: str) -> Notice:
    """Return the notice of a run whose launch ended without a word.

    Args:
        receipt: the run's ``run.json``, or as much of it as is known.
    """
    kind = str(receipt.get("trigger", {}).get("kind", ""))
    return Notice(
        event="launch-failed",
        job=job,
        subject=f"Parris: {job} was not launched",
        lines=[
            f"Nothing was launched: {why}",
            f"run       {run_id}",
            *([f"asked by  {KINDS.get(kind, kind)}"] if kind else []),
            "",
            "Look closer: make status",
        ],
        facts={"run-id": run_id, "reason": why, "error": "LaunchFailed"},
    )


def failed(event: object, error: str, kind: str) -> Notice:
    """Return the notice of an event that a function could not deal with.

    Args:
        event: what it was invoked with.
        error: what it raised.
        kind: the class of what it raised, such as ``LaunchRefused``.
    """
    job = event.get("job", "") if isinstance(event, dict) else ""
    job = job if isinstance(job, str) and job.isprintable() and 0 < len(job) <= 64 else "default"
    unclear = kind == "LaunchUnclear"  # a machine may run
    return Notice(
        event="launch-failed",
        job=job,
        subject=f"Parris: {job} {'may have been' if unclear else 'was not'} launched",
        lines=[
            error if unclear else f"Nothing was launched: {error}",
            "",
            f"The event: {short(json.dumps(event))}",
            "",
            "Look closer: make status",
        ],
        facts={"reason": error, "error": kind, "request": json.dumps(event)},
    )


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _attempt(one: Mapping[str, Any]) -> str:
    """Return a line for one of the machines, or refusals, that a run has had."""
    names = ("instance-type", "market", "subnet-id", "zone")
    kind = " ".join(str(one[name]) for name in names if one.get(name))
    usd = "" if one.get("cost-usd") is None else f", ${one['cost-usd']:.4f}"
    return f"attempt {one.get('number')} {kind}{usd}: {one.get('state')}, {one.get('reason')}"
