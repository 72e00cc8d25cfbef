"""A run as the ledger holds it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ..contract import Metric, State
from .attempt import Attempt, Next, read_attempts, read_next
from .ending import Ending
from .times import read_time

if TYPE_CHECKING:
    from .documents import Outcome, Receipt

LEASE = timedelta(seconds=120)
"""How long a claim without a stack belongs to the launch that made it: twice the function's
timeout, after which that launch is certainly no longer running."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run: whose it is, how far it has come, how it ended."""

    job: str
    run_id: str
    state: str
    """``launching`` until its stack is there and told of, ``accepted`` while that stands,
    ``relaunching`` between two machines; one of an outcome's states when it is over;
    ``launch-failed``, ``queued``, ``skipped`` without a stack."""
    nonce: str
    """Of the launch that has claimed the run: only that one knows it."""
    claims: int
    """How many launches have claimed it."""
    lease: datetime
    """Until when the claim holds without a stack."""
    receipt: Receipt
    """Its ``run.json`` when the run was planned; empty before."""
    stack_id: str | None
    reason: str
    attempts: tuple[Attempt, ...]
    """Those that are over."""
    next: Next | None
    """The one that is to come, or on its way; of a run that is ``relaunching``."""
    refused: Ending | None
    """How the run ended, if its next attempt was refused for good."""
    outcome: Outcome | None
    """Its ``outcome.json``; None while the run is not over."""
    metrics: Mapping[str, Metric]
    """The last values that its trainer has told; empty if it told none."""
    folder: str
    """Of the machine that told them, in its own; "" before one has."""
    is_open: bool
    """Whether something is still to be done about it."""
    trial: tuple[str, int] | None = None
    """The grid that it is a trial of, and which one; None if it is none."""

    @property
    def name(self) -> str:
        return f"{self.job}/{self.run_id}"

    @property
    def tags(self) -> dict[str, str]:
        """The tags by which its stack and its machine name it."""
        return {"parris:job": self.job, "parris:run-id": self.run_id}

    @property
    def past_machines(self) -> frozenset[str]:
        """The instance ids of the machines whose end is in `attempts`."""
        return frozenset(one.instance_id for one in self.attempts if one.instance_id)

    def is_of(self, stack_id: str, attempt: int, instance_id: str = "") -> bool:
        """Return whether what is heard of a stack, and of a machine, is about the run as it is now.

        A run may have had other machines, and a stack before the one it has; word of those may
        come late, and twice. A stack that the record does not name yet holds the next attempt.
        """
        is_next = self.next is not None and attempt == self.next.number
        known = is_next or self.stack_id in (None, stack_id)
        return known and instance_id not in self.past_machines

    @property
    def known(self) -> Receipt:
        """Its receipt, with what has become of it since it was planned."""
        known: Receipt = {**self.receipt, "state": self.state}
        if self.reason:
            known["reason"] = self.reason
        if self.stack_id:
            known["stack-id"] = self.stack_id
        return known

    def is_free(self, now: datetime) -> bool:
        """Return whether another launch may claim the run, if it has no stack."""
        if self.outcome is not None or self.stack_id is not None:
            return False
        if self.state in (State.LAUNCH_FAILED, State.QUEUED):
            return True
        return self.state == State.LAUNCHING and now > self.lease


def run_deadline(receipt: Receipt, of_machine: datetime) -> datetime:
    """Return when a run must be over, given the deadline of the machine that it has or had.

    That one may be earlier, where the dollars for it end, or later, if it was moved.
    """
    return max(of_machine, read_time(receipt.get("run-deadline")) or of_machine)


def read_record(item: Mapping[str, Any]) -> RunRecord:
    """Return the run that an item of the ledger holds."""
    ended = json.loads(item["outcome"]) if "outcome" in item else None
    return RunRecord(
        job=str(item["pk"]).removeprefix("run#"),
        run_id=str(item["sk"]),
        state=str(item["state"]),
        nonce=str(item.get("nonce", "")),
        claims=int(item.get("claims", item.get("attempt", 1))),  # "attempt": until 0.2
        lease=datetime.fromisoformat(item["lease"]),
        receipt=json.loads(item.get("receipt", "{}")),
        stack_id=item.get("stack_id"),
        reason=str(item.get("reason", "")),
        attempts=read_attempts(item.get("attempts", "[]")),
        next=read_next(item["next"]) if "next" in item else None,
        refused=_read_ending(item["refused"]) if "refused" in item else None,
        outcome=ended,
        metrics=(ended or {}).get("metrics") or json.loads(item.get("metrics", "{}")),
        folder=str(item.get("folder", "")),
        is_open="open" in item,
        trial=_read_trial(item["trial"]) if "trial" in item else None,
    )


def _read_trial(text: str) -> tuple[str, int]:
    grid_id, number = text.split("/")
    return grid_id, int(number)


def _read_ending(text: str) -> Ending:
    held = json.loads(text)
    return Ending(state=held["state"], reason=held["reason"], ended_by=held["ended-by"])
