"""What a person is told of a run: a line for a phone's screen, a body, and JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..contract import State
from ..errors import plain
from .attempt import Attempt

if TYPE_CHECKING:
    from .documents import Answer, Costs

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
        facts = {name: short(value) for name, value in self.facts.items()}
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


def started(answer: Answer, kind: str) -> Notice:
    """Return the notice of a launch that was accepted, from the launch function's answer."""
    job, run_id = answer["job"], answer["run-id"]
    cost = "price unknown"
    if answer.get("hourly-usd"):
        cost = f"${answer['hourly-usd']} an hour{at_most(answer)}"
    return Notice(
        event="started",
        job=job,
        subject=f"Parris: {job} started ({kind})",
        lines=[
            f"Job {job} was started by {KINDS.get(kind, kind)}.",
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


def at_most(answer: Answer | Costs) -> str:
    """Return what a run may cost, from a launch's answer; empty where that is not known."""
    if not answer.get("most-usd"):
        return ""
    stays = " if it stays on this machine" if answer.get("most-usd-of") else ""
    return f", ${answer['most-usd']} at most{stays}"


KINDS = {
    "button": "a button",
    "device": "a message",
    "schedule": "a schedule",
    "data": "new data",
    "direct": "a call",
    "grid": "a grid",
}


def goes_on(job: str, run_id: str, over: Attempt) -> Notice:
    """Return the notice of a run that lost its machine, or was refused one, and gets another."""
    spent = "" if not over.usd else f", ${over.usd:.4f}"
    what = "waits for a machine" if over.refusal is not None else "lost its machine and goes on"
    return Notice(
        event="relaunching",
        job=job,
        subject=f"Parris: {job} {what}",
        lines=[
            f"Attempt {over.number} of job {job} is over: {over.reason}",
            f"run       {run_id}",
            f"attempt   {over.began} to {over.ended}{spent}",
            "Another machine follows as soon as one can be had.",
            "",
            f"Look closer: make status RUN={run_id}; end it: make stop RUN={run_id}",
        ],
        facts={"run-id": run_id, "attempt": over.record()},
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


def short(value: Any) -> Any:
    return f"{value[:1999]}…" if isinstance(value, str) and len(value) > 2000 else value


def _cut(text: str) -> str:
    return text.encode()[:BODY_BYTES].decode(errors="ignore")
