"""When a run gets another machine, as its job wants it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..runs.documents import Receipt, RetryRecord

ON_DEMAND, SPOT = "on-demand", "spot"
INTERRUPTION, CAPACITY, FAILURE = CAUSES = ("interruption", "capacity", "failure")


@dataclass(frozen=True, kw_only=True)
class Retry:
    """What a job's ``retry`` and ``max-wait-minutes`` say."""

    on: tuple[str, ...] = ()
    """Of CAUSES."""
    exit_statuses: tuple[int, ...] = ()
    """Of the trainer, after which a failure counts; any if empty."""
    attempts: int = 1
    """How many machines a run may have in all; those that EC2 refused do not count."""
    max_wait_minutes: int = 0
    """How long it waits while EC2 has no capacity."""

    def record(self) -> RetryRecord:
        """Return it as ``run.json`` holds it."""
        return {
            "on": list(self.on),
            "exit-statuses": list(self.exit_statuses),
            "attempts": self.attempts,
            "max-wait-minutes": self.max_wait_minutes,
        }


def read_retry(receipt: Receipt) -> Retry:
    """Return what a ``run.json`` holds of it; one of an older version has no second attempt."""
    held = receipt.get("retry")
    if held is None:
        return Retry()
    return Retry(
        on=tuple(held["on"]),
        exit_statuses=tuple(held["exit-statuses"]),
        attempts=int(held["attempts"]),
        max_wait_minutes=int(held["max-wait-minutes"]),
    )
