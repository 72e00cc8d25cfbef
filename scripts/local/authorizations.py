"""What IAM was really asked: each principal, action and resource, once, with what it said.

Stands in for CloudTrail (its user guide, "CloudTrail record contents"): ``authorizations.jsonl`` in
the cloud's home is what the tests compare with what each principal is said to need.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id

FILE = "authorizations.jsonl"

SAMPLES = 20
"""Resources kept of one action that a principal may do: a run has a great many objects."""


class Record:
    """The file, and in memory what stands in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: set[tuple[str, str, str, str]] = set()
        self._samples: Counter[tuple[str, str, str]] = Counter()
        self._lock = threading.Lock()

    def add(self, principal: str, action: str, resource: str, decision: str) -> None:
        """Write a line unless it is there, or enough like it are."""
        line, kind = (principal, action, resource, decision), (principal, action, decision)
        with self._lock:
            if line in self._seen or (decision == "Allow" and self._samples[kind] >= SAMPLES):
                return
            self._seen.add(line)
            self._samples[kind] += 1
            with self._path.open("a") as file:
                names = ("principal", "action", "resource", "decision")
                file.write(json.dumps(dict(zip(names, line, strict=True))) + "\n")


_record: Record | None = None


def record(principal: str, action: str, resource: str, decision: str) -> None:
    """Record a decision made elsewhere than in `enforce`; nothing if there is no record."""
    if _record is not None:
        _record.add(principal, action, resource, decision)


def register(home: Path) -> None:
    """Record, from now on, what IAM decides; of root, who may do anything, nothing."""
    global _record
    _record = Record(home / FILE)
    _record_decisions()


def _record_decisions() -> None:
    decide = iam_evaluator.enforce

    def enforce(access_key_id: str, iam_action: str, *rest: Any, **named: Any) -> Any:
        denied = decide(access_key_id, iam_action, *rest, **named)
        if isinstance(denied, iam_evaluator.AuthError):
            return denied
        caller = iam_evaluator.resolve_principal(access_key_id or "", get_account_id())
        if isinstance(caller, iam_evaluator.PrincipalInfo) and caller.policies is not None:
            resource = named.get("resource_arn", rest[2] if len(rest) > 2 else "*")
            record(name_of(caller.arn), iam_action, resource, "Deny" if denied else "Allow")
        return denied

    iam_evaluator.enforce = enforce


def name_of(arn: str) -> str:
    """Return ``role/<name>`` or ``user/<name>``; of a session, its role."""
    kind, _, name = arn.rpartition(":")[2].partition("/")
    return f"role/{name.partition('/')[0]}" if kind == "assumed-role" else f"{kind}/{name}"
