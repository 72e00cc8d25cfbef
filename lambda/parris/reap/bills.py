"""What machines have cost, as the reap function finds it out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ..aws.results import Results
from ..runs.bill import Bill, bill, needs_sign
from ..runs.lifecycle import Machine

if TYPE_CHECKING:
    from ..runs.documents import Receipt

_SIGNS = ("alive.json", "metrics.json", "log.txt", "outcome.json")
"""What a machine that runs stores every two minutes, whatever else it does: one of these."""


@dataclass(frozen=True, kw_only=True)
class Bills:
    """Asks S3 for the last sign of a machine where EC2 does not say when it ended."""

    storage: Results
    grace: timedelta

    def of(
        self,
        prefix: str,
        receipt: Receipt,
        machine: Machine | None,
        folder: str | None,
        now: datetime,
        said_usd: float | None = None,
    ) -> Bill:
        """Return the bill of a run's last machine.

        Args:
            prefix: the run's folder.
            folder: the machine's in it, if it stored anything.
        """
        asks = folder is not None and needs_sign(machine)
        sign = self._last_sign(f"{prefix}machines/{folder}/") if asks else None
        return bill(receipt, machine, now=now, grace=self.grace, sign=sign, said_usd=said_usd)

    def _last_sign(self, folder: str) -> datetime | None:
        """Return when the machine last stored something that it stores all the time.

        All that it ever stored may be 100,000 files.
        """
        times = [self.storage.last_write(folder + name) for name in _SIGNS]
        return max((time for time in times if time is not None), default=None)
