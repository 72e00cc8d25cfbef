"""What terraform's `-json` stream says, as sentences; pure.

The stream is a documented interface (Terraform CLI, "Machine-Readable UI"): one JSON object a line,
of which `type` says what it tells.
"""

from __future__ import annotations

import json
import shutil
import textwrap
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OURS = frozenset({"Deprecated flag: -state"})
"""Warnings about how we call terraform, which its user can do nothing about."""

_WORDS = {"create": "make", "update": "change", "delete": "delete", "replace": "replace"}
_DONE = frozenset({"apply_complete", "apply_errored"})
_WIDTH = 96
_LAST_LINES = 20


@dataclass(kw_only=True)
class Story:
    """What terraform has told so far."""

    planned: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By action (create, update, delete, replace) and resource type."""
    read: int = 0
    total: int = 0
    """How many makings, changes and deletions the plan has; a replacement is two."""
    done: int = 0
    made: int = 0
    """How many of them were makings, failed ones included."""
    under_way: dict[str, str] = field(default_factory=dict)
    """Action by address, of what has begun and not ended."""
    plan_is_made: bool = False
    applying: bool = False
    complaints: list[str] = field(default_factory=list)
    """Errors and warnings, each as terraform would print it."""
    ended: str = ""
    """Terraform's own sentence at the end of an apply."""
    changes: dict[str, int] = field(default_factory=dict)
    """By add, change and remove: what is planned or, once that is applied, what was done."""
    provisioner: list[str] = field(default_factory=list)

    def hear(self, line: str) -> None:
        """Take one line of the stream; what is no JSON is a complaint as it stands."""
        try:
            said = json.loads(line)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            self.complaints += [line] if line.strip() else []
            return
        kind, hook = said.get("type"), said.get("hook") or {}
        if kind == "planned_change":
            change = said["change"]
            if change["action"] in _WORDS:
                self.planned[change["action"], change["resource"]["resource_type"]] += 1
        elif kind == "change_summary":
            self._summary(said)
        elif kind == "diagnostic":
            if said["diagnostic"]["summary"] not in OURS:
                self.complaints.append(complaint(said["diagnostic"]))
        elif kind == "refresh_complete":
            self.read += 1
        elif kind == "provision_progress":
            self.provisioner = [*self.provisioner, hook.get("output", "")][-_LAST_LINES:]
        elif kind == "provision_errored":
            self.complaints += self.provisioner
        elif kind == "apply_start" and hook["action"] in _WORDS:
            self.applying = True
            self.under_way[hook["resource"]["addr"]] = hook["action"]
        elif kind in _DONE and hook["action"] in _WORDS:
            self.under_way.pop(hook["resource"]["addr"], None)
            self.done += kind == "apply_complete"
            self.made += hook["action"] == "create"

    def _summary(self, said: Mapping[str, Any]) -> None:
        changes = said["changes"]
        self.changes = {name: changes[name] for name in ("add", "change", "remove")}
        if changes["operation"] == "plan":
            self.total = changes["add"] + changes["change"] + changes["remove"]
            self.plan_is_made = True
        else:
            self.ended = said["@message"]

    @property
    def makes(self) -> bool:
        """Whether things are being made: one just now, or the next at any moment."""
        wanted = sum(n for (what, _), n in self.planned.items() if what in ("create", "replace"))
        return self.applying and self.made < wanted

    def describe(self) -> list[str]:
        """Return the plan by action and kind, and what its new things cost while nothing runs.

        Its lines end where the terminal does, or sooner.
        """
        counts = Counter[str]()
        for (action, _), count in self.planned.items():
            counts[action] += count
        if not counts:
            return ["terraform finds no resource to change"]
        parts = [f"{_WORDS[action]} {counts[action]}" for action in _WORDS if counts[action]]
        lines = [f"terraform will {', '.join(parts)} {_noun(counts.total())}:"]
        width = min(shutil.get_terminal_size((_WIDTH, 24)).columns, _WIDTH)
        for action, word in _WORDS.items():
            kinds = sorted((kind, n) for (what, kind), n in self.planned.items() if what == action)
            if kinds:
                text = ", ".join(f"{count} {name_of(kind)}" for kind, count in kinds)
                first = f"  {word:<8} "
                lines += textwrap.wrap(
                    text, width, initial_indent=first, subsequent_indent=" " * len(first)
                )
        made = {kind for action, kind in self.planned if action == "create"}
        notes = [*([IDLE] if made else []), *([WATCHED] if made & _WATCHING else [])]
        return [*lines, *(line for note in notes for line in textwrap.wrap(note, width))]

    def where(self) -> str:
        """Return how far it is, for a line that moves."""
        if not self.plan_is_made:
            return f"terraform reads what is there: {self.read} resources"
        return f"terraform: {self.done} of {self.total} done"


def _noun(count: int) -> str:
    return "resource" if count == 1 else "resources"


def name_of(kind: str) -> str:
    """Return a resource type in words: ``aws_s3_bucket`` is an "s3 bucket"."""
    return kind.removeprefix("aws_").replace("_", " ")


IDLE = (
    "Idle it bills nothing by the hour. You pay for what is stored (S3, DynamoDB, CloudWatch "
    "Logs), and for the reap function's sweeps beyond Lambda's free million of calls a month: "
    "0.20 US dollars a million. A run costs what its machine costs. "
    "(aws.amazon.com/lambda/pricing, in us-east-1)"
)
WATCHED = (
    "CloudWatch has 10 alarms and 3 dashboards free; beyond them an alarm costs 0.10 US dollars a "
    "month, a dashboard 3.00. (aws.amazon.com/cloudwatch/pricing)"
)
_WATCHING = frozenset({"aws_cloudwatch_metric_alarm", "aws_cloudwatch_dashboard"})


def complaint(diagnostic: Mapping[str, Any]) -> str:
    """Return an error or a warning of terraform's, with its place, as text."""
    lines = [f"{diagnostic['severity'].capitalize()}: {diagnostic['summary']}"]
    if address := diagnostic.get("address"):
        lines.append(f"  with {address}")
    if place := diagnostic.get("range"):
        lines.append(f"  on {place['filename']} line {place['start']['line']}")
        if code := (diagnostic.get("snippet") or {}).get("code"):
            lines += [f"    {line}" for line in code.splitlines()]
    if detail := diagnostic.get("detail"):
        lines += ["", detail]
    return "\n".join(lines)
