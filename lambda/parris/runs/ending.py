"""How a run ended, in three words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .documents import EndingRecord

FAILED_CREATE = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED")
"""Statuses of a stack whose creation has failed, with nothing under way any more."""

DEAD = ("terminated", "stopped")
"""States of a machine that does nothing any more."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a run ended, or stands, for whoever cannot read its ``outcome.json``."""

    state: str
    reason: str
    ended_by: str

    def record(self) -> EndingRecord:
        """Return it as the ledger and ``outcome.json`` hold it."""
        return {"state": self.state, "reason": self.reason, "ended-by": self.ended_by}
