"""The attempts of a run: those that are over, and the one that comes next.

An attempt is one machine, or one refusal of one. The record of a run in the ledger holds those that
are over; its receipt describes the one that is under way.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .ladder import Rung, read_rung

if TYPE_CHECKING:
    from .documents import AttemptRecord, NextRecord


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One machine of a run, or one refusal, that is over."""

    number: int
    rung: Rung
    began: str
    """ISO 8601 UTC, as `ended`."""
    ended: str
    state: str
    reason: str
    ended_by: str
    hourly_usd: str | None
    """Of machine, volume and address together; None without a price."""
    usd: float | None
    """What the machine cost; None without a price."""
    instance_id: str | None
    zone: str
    folder: str | None
    """Its folder in the run's, if its trainer had begun: the next machine goes on from there."""
    refusal: str | None
    """The word of its cause (refusals.py) if EC2 refused it; None if it had a machine."""

    def record(self) -> AttemptRecord:
        """Return it as the ledger and ``outcome.json`` hold it."""
        return {
            "number": self.number,
            "instance-type": self.rung.instance_type,
            "market": self.rung.market,
            "subnet-id": self.rung.subnet_id,
            "began": self.began,
            "ended": self.ended,
            "state": self.state,
            "reason": self.reason,
            "ended-by": self.ended_by,
            "hourly-usd": self.hourly_usd,
            "cost-usd": self.usd,
            "instance-id": self.instance_id,
            "zone": self.zone,
            "machine": self.folder,
            "refusal": self.refusal,
        }


def read_attempts(text: str) -> tuple[Attempt, ...]:
    """Return the attempts that an item of the ledger holds."""
    return tuple(
        Attempt(
            number=int(held["number"]),
            rung=read_rung(held),
            began=str(held["began"]),
            ended=str(held["ended"]),
            state=str(held["state"]),
            reason=str(held["reason"]),
            ended_by=str(held["ended-by"]),
            hourly_usd=held["hourly-usd"],
            usd=held["cost-usd"],
            instance_id=held["instance-id"],
            zone=str(held["zone"]),
            folder=held["machine"],
            refusal=held["refusal"],
        )
        for held in json.loads(text)
    )


def spent_usd(attempts: Sequence[Attempt]) -> float:
    """Return what the machines of a run have cost so far, in US dollars, as far as is known."""
    return round(sum(attempt.usd or 0.0 for attempt in attempts), 4)


def last_folder(attempts: Sequence[Attempt]) -> str | None:
    """Return the folder of the last machine that had begun to train; None if none had."""
    return next((attempt.folder for attempt in reversed(attempts) if attempt.folder), None)


@dataclass(frozen=True, kw_only=True)
class Next:
    """The machine that a run gets next."""

    number: int
    rung: Rung
    not_before: str
    """ISO 8601 UTC."""

    def record(self) -> NextRecord:
        """Return it as the ledger holds it."""
        return {"number": self.number, "not-before": self.not_before, **self.rung.record()}


def read_next(text: str) -> Next:
    """Return the next attempt that an item of the ledger holds."""
    held = json.loads(text)
    return Next(
        number=int(held["number"]), rung=read_rung(held), not_before=str(held["not-before"])
    )
