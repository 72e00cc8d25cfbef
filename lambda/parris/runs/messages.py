"""What a person is told of a run: a line for a phone's screen, a body, and JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..contract import MAY_GO_ON, State
from ..errors import plain

SUBJECT_LENGTH = 99
"""SNS takes less than 100 characters of ASCII, without line breaks (API reference, Publish)."""

BODY_BYTES = 60_000
"""Far below SNS's 256 KiB for all forms of one message together."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One message."""

    event: str
    """``started skipped queued status stop delete-failed``, or how a run ended."""
    job: str
    subject: str
    lines: Sequence[str]
    """The body, for people."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the body says, for machines; ``event`` and ``job`` come by themselves."""

    def message(self) -> dict[str, Any]:
        """Return the arguments of SNS's Publish, but for the topic."""
        subject = plain(self.subject).encode("ascii", "replace").decode()
        text = plain("\n".join(self.lines))
        facts = {name: _short(value) for name, value in self.facts.items()}
        record = {"event": self.event, "job": self.job, **facts}
        forms = {"default": json.dumps(record), "email": text, "sms": subject}
        return {
            "Subject": " ".join(subject.split())[:SUBJECT_LENGTH],
            "MessageStructure": "json",
            "Message": json.dumps({name: _cut(form) for name, form in forms.items()}),
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": value}
                for name, value in (("event", self.event), ("job", self.job))
            },
        }


def started(answer: Mapping[str, Any], kind: str) -> Notice:
    """Return the notice of a launch that was accepted, from the launch function's answer."""
    job, run_id = answer["job"], answer["run-id"]
    cost = "price unknown"
    if answer.get("hourly-usd"):
        cost = f"${answer['hourly-usd']} an hour, ${answer['most-usd']} at most"
    return Notice(
        event="started",
        job=job,
        subject=f"Parris: {job} started ({kind})",
        lines=[
            f"Job {job} was started by {_KINDS.get(kind, kind)}.",
            f"run       {run_id}",
            f"stack     {answer['stack-name']}",
            f"deadline  {answer['deadline']}",
            f"cost      {cost}",
            *answer.get("notes", []),
            "",
            f"Look closer: make logs RUN={run_id} WAIT=1",
            f"End it early: make stop RUN={run_id}",
        ],
        facts={**answer, "trigger": kind},
    )


_KINDS = {
    "button": "a button",
    "device": "a message",
    "schedule": "a schedule",
    "data": "new data",
    "direct": "a call",
}

_ENDS: Mapping[str, str] = {
    State.TIMED_OUT: "was ended at its deadline",
    State.LAUNCH_FAILED: "could not be launched",
}


def ended(
    job: str, run_id: str, receipt: Mapping[str, Any], outcome: Mapping[str, Any], log_end: str
) -> Notice:
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
    tail = [_short(line) for line in log_end.splitlines()[-10:]]
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


def goes_on(outcome: Mapping[str, Any]) -> bool:
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


def held_back(event: str, job: str, run_id: str, why: str) -> Notice:
    """Return the notice of a launch that was ``skipped`` or ``queued``, and why."""
    what = "was skipped" if event == State.SKIPPED else "waits for its turn"
    return Notice(
        event=event,
        job=job,
        subject=f"Parris: {job} {what}",
        lines=[f"Job {job} {what}: {why}", f"run       {run_id}", "", "Look closer: make status"],
        facts={"run-id": run_id, "reason": why},
    )


def launch_died(job: str, run_id: str, receipt: Mapping[str, Any], why: str) -> Notice:
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
            *([f"asked by  {_KINDS.get(kind, kind)}"] if kind else []),
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
            f"The event: {_short(json.dumps(event))}",
            "",
            "Look closer: make status",
        ],
        facts={"reason": error, "error": kind, "request": json.dumps(event)},
    )


def status(runs: Sequence[Mapping[str, Any]], battery: str) -> Notice:
    """Return the notice of the newest runs, each ``{"job", "run-id", "state", "reason", …}``."""
    going = [run["job"] for run in runs if run["state"] in (State.LAUNCHING, State.RUNNING)]
    summary = f"{len(going)} running" if going else "nothing is running"
    if runs and not going:
        summary += f", {runs[0]['job']} {runs[0]['state']} last"
    return Notice(
        event="status",
        job=str(runs[0]["job"]) if runs else "default",
        subject=f"Parris: {summary}",
        lines=[
            *(f"{run['job']}  {run['run-id']}  {run['state']}  {run['reason']}" for run in runs),
            *([] if runs else ["There is no run yet."]),
            *([battery] if battery else []),
            "",
            "Look closer: make status",
        ],
        facts={"runs": list(runs)},
    )


def told(job: str, subject: str, lines: Sequence[str]) -> Notice:
    """Return a notice of event ``stop``: what became of a request to end a run."""
    return Notice(
        event="stop",
        job=job,
        subject=f"Parris: {subject}",
        lines=[*lines, "", "Look closer: make status"],
        facts={"reason": " ".join(lines)},
    )


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _short(value: Any) -> Any:
    return f"{value[:1999]}…" if isinstance(value, str) and len(value) > 2000 else value


def _cut(text: str) -> str:
    return text.encode()[:BODY_BYTES].decode(errors="ignore")
