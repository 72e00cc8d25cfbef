"""One run in full, as `make status RUN=id` shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from parris.contract import State
from parris.errors import plain
from parris.runs.attempt import spent_usd
from parris.runs.attempts import last_attempt
from parris.runs.budget import cost
from parris.runs.documents import Outcome, Receipt
from parris.runs.messages_of_ends import goes_on
from parris.runs.metrics import metrics_line
from parris.runs.times import read_time
from scripts.cli.plain_text import one_line
from scripts.cli.which_cloud import hint
from scripts.cli.words import ago
from scripts.deployment.runs import Run

_METRICS_WIDTH = 1000
"""Characters; the values of 50 keys have room in it, unless their names are long."""


def was_refused(run: Run) -> bool:
    """Return whether a launch was refused or skipped: nothing of it ever came to exist."""
    if run.outcome is not None or run.stack is not None or "stack-id" in run.receipt:
        return False
    return run.state in (State.LAUNCH_FAILED, State.SKIPPED)


def spent_on(run: Run, now: datetime) -> float | None:
    """Return what a run has cost in US dollars, by its outcome or else so far; None if unknown."""
    if run.outcome is not None:
        known: float | None = run.outcome.get("cost-usd")
        return known
    if run.is_over or "claimed" not in run.receipt:
        return None
    began = datetime.fromisoformat(run.receipt.get("attempt-began", run.receipt["claimed"]))
    runs = run.state != State.RELAUNCHING
    spent = cost(run.receipt, began, now) if runs else 0.0
    return spent if spent is None else spent + spent_usd(run.attempts)


def cost_of(run: Run, now: datetime) -> str:
    """Return what a run has cost, by its outcome or else so far; "-" where nobody knows."""
    spent = spent_on(run, now)
    return "-" if spent is None else f"${spent:.4f}"


def limit_of(run: Run) -> str:
    """Return what a run may cost at most, by its limit or its deadline; "" where nobody knows."""
    receipt = run.receipt
    if limit := receipt.get("cost-limit-usd"):
        return f"${Decimal(limit):.4f}"
    deadline = read_time(receipt.get("deadline"))
    if deadline is None or "claimed" not in receipt:
        return ""
    began = datetime.fromisoformat(receipt.get("attempt-began", receipt["claimed"]))
    most = cost(receipt, began, deadline)
    return "" if most is None else f"${most + spent_usd(run.attempts):.4f}"


def describe(
    run: Run,
    instance: Mapping[str, Any],
    bucket: str,
    now: datetime,
    files: Sequence[str] = (),
) -> list[str]:
    """Return all there is to say of a run: a line each, what it is of first, then the commands.

    Args:
        instance: the run's machine, as DescribeInstances gives it.
        bucket: of the results.
        files: what is to be said of them.
    """
    receipt, outcome = run.receipt, run.outcome or {}
    launched = instance.get("LaunchTime")
    began = outcome.get("started") or outcome.get("booted") or (launched and launched.isoformat())
    facts = {
        "run": run.run_id,
        "job": run.job,
        "state": run.state,
        "reason": hint(run.reason) or "-",
        "ended by": run.ended_by or "-",
        "resumes": str(receipt.get("resumes", "-")),
        "rerun of": str(receipt.get("rerun-of", "-")),
        "trigger": _trigger(receipt.get("trigger")),
        "claimed": _moment(receipt.get("claimed"), now),
        "began": _moment(began, now),
        "ended": _moment(outcome.get("finished"), now),
        "deadline": str(receipt.get("deadline", "-")),
        "machine": _machine(receipt, outcome, instance),
        "stack": f"{run.stack['StackName']}, {run.stack['StackStatus']}" if run.stack else "-",
        "price": _price(receipt.get("price")),
        "cost": cost_of(run, now) + ("" if run.is_over else " so far"),
        "limit": _limit(run) or "-",
        "metrics": metrics_line(run.metrics, _METRICS_WIDTH) or "-",
        "results": f"s3://{bucket}/{run.prefix}",
        "version": str(receipt.get("parris-version", "before 0.2.0")),
    }
    facts |= {f"parameter {name}": str(v) for name, v in receipt.get("parameters", {}).items()}
    lines = [one_line(f"{name:9} {value}") for name, value in facts.items()]
    lines += [one_line(f"attempt   {said}") for said in attempts_of(run)]
    lines += [one_line(f"attempt   {said}") for said in _under_way(run, instance, now)]
    lines += [one_line(f"file      {hint(said)}") for said in files]
    lines += [one_line(f"warning   {said}") for said in outcome.get("warnings", [])]
    lines += consoles_end(run)
    return [*lines, *(f"next      {hint(command)}" for command in next_commands(run))]


def attempts_of(run: Run) -> list[str]:
    """Return a line for each machine that a run has had, and each refusal, if there is more."""
    records = list((run.outcome or {}).get("attempts") or [one.record() for one in run.attempts])
    if run.attempts and run.outcome is not None and "attempts" not in run.outcome:
        records.append(last_attempt(run.receipt, run.outcome))  # as its machine says, for now
    lines = []
    for one in records:
        places = (
            one.get("instance-type"),
            one.get("market"),
            one.get("subnet-id"),
            one.get("zone"),
        )
        kind = " ".join(filter(None, places))
        usd = "" if one.get("cost-usd") is None else f", ${one['cost-usd']:.4f}"
        name = one.get("instance-id") or "no machine"
        times = f"{one.get('began')} to {one.get('ended')}"
        why = f"{one.get('state')}: {one.get('reason')}"
        lines.append(f"{one.get('number')}: {name}, {kind}, {times}{usd}, {why}")
    return lines


def _under_way(run: Run, instance: Mapping[str, Any], now: datetime) -> list[str]:
    """Return a line for the machine that a run has now, if it is not its first."""
    if run.outcome or not run.attempts or run.is_over or run.state == State.RELAUNCHING:
        return []
    receipt = run.receipt
    began = receipt.get("attempt-began", receipt.get("claimed"))
    spent = cost(receipt, datetime.fromisoformat(began), now) if began else None
    usd = "" if spent is None else f", ${spent:.4f} so far"
    machine = _machine(receipt, {}, instance)
    return [f"{receipt.get('attempt', '?')}: {machine}, since {began}{usd}, {run.state}"]


def _limit(run: Run) -> str:
    by = "by its cost-limit" if run.receipt.get("cost-limit-usd") else "by its deadline"
    limit = limit_of(run)
    return f"{limit} {by}" if limit else ""


def consoles_end(run: Run) -> list[str]:
    """Return the end of the console of a machine that left no outcome, or nothing.

    The reap function keeps it in the outcome that it writes (docs/contracts.md).
    """
    text = (run.outcome or {}).get("console")
    if not text:
        return []
    return [
        "the end of its machine's console:",
        *(f"  | {one}" for one in plain(str(text)).splitlines()),
    ]


def next_commands(run: Run) -> Sequence[str]:
    """Return the commands that make sense for a run in its state."""
    if was_refused(run):
        return [f"make launch JOB={run.job}"]
    results = f"make results RUN={run.run_id}"
    if run.is_over:
        left = ["make clean-stacks"] if run.stack is not None else []
        resume = (
            [f"make launch RESUME={run.run_id}"] if run.outcome and goes_on(run.outcome) else []
        )
        again = [f"make rerun RUN={run.run_id}"] if run.outcome and _had_machine(run) else []
        return [f"make logs RUN={run.run_id}", results, *resume, *again, *left]
    if run.state != "running":
        return [f"make logs RUN={run.run_id} WAIT=1", f"make stop RUN={run.run_id}"]
    extend = f"make extend RUN={run.run_id} MINUTES=30"
    return [f"make logs RUN={run.run_id} WAIT=1", results, f"make stop RUN={run.run_id}", extend]


def _had_machine(run: Run) -> bool:
    """Return whether a run's receipt names the image of a machine, so that it can be run again."""
    return str(run.receipt.get("image", "")).startswith("ami-")


def _moment(text: str | None, now: datetime) -> str:
    if not text:
        return "-"
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ} ({ago(moment, now)})"


def _trigger(trigger: Mapping[str, Any] | None) -> str:
    known = {key: value for key, value in (trigger or {}).items() if value not in ("", None)}
    more = ", ".join(f"{key} {value}" for key, value in known.items() if key != "kind")
    return f"{known.get('kind', '-')}{f' ({more})' if more else ''}"


def _machine(receipt: Receipt, outcome: Outcome, instance: Mapping[str, Any]) -> str:
    name = outcome.get("instance-id") or instance["InstanceId"] or "none"
    kind = f"{receipt.get('instance-type', '?')} {receipt.get('market', '?')}"
    if (nodes := receipt.get("nodes", 1)) > 1:
        kind = f"the head of {nodes} nodes, {kind}"
    state = instance["State"]["Name"]
    return f"{name}, {kind}" + ("" if state == "none" else f", {state}")


def _price(price: Mapping[str, Any] | None) -> str:
    if not price:
        return "-"
    source = f" ({price['source']})" if price.get("source") else ""
    return f"${price['hourly-usd']} an hour{source}"
