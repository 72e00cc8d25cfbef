"""A month's money as the reap function keeps it: reservations become what runs have cost."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from ..aws.ledger import Ledger
from ..aws.slots import Slots, reservations_of, sums_of
from ..aws.table import Item
from ..aws.told import told_key
from ..aws.topic import Notifier
from ..runs.messages_of_ends import month_nearly_spent
from ..runs.month import MICROS, TOLD_AT, Reservation, keeps, month_of, real_micros, to_micros

if TYPE_CHECKING:
    from ..runs.documents import Outcome


@dataclass(frozen=True, kw_only=True)
class Money:
    """Settles reservations, each once, and tells when little of a month's budget is left."""

    ledger: Ledger
    notifier: Notifier
    now: datetime
    budget_usd: Decimal | None

    def settle(self, item: Item, run: str, outcome: Outcome | None) -> None:
        """Let what a run has cost count, if anything is reserved for it.

        Args:
            item: all that is held, as a moment ago.
            run: ``<job>/<run id>``, which is over.
        """
        if held := reservations_of(item).get(run):
            self._settle(held, outcome)

    def review(self, going: Container[str]) -> None:
        """Settle what is reserved for runs that are over, and tell what is to be told.

        A function may have died before it came to settle it.

        Args:
            going: names of runs under way, ``<job>/<run id>``, as of a moment ago.
        """
        slots = Slots(self.ledger.table)
        item = slots.held()
        over = [one for one in reservations_of(item).values() if one.run not in going]
        for held in over:
            job, _, run_id = held.run.partition("/")
            record = self.ledger.read(job, run_id)
            if not keeps(record):
                self._settle(held, record.outcome if record else None)
        self._tell(slots.held() if over else item)

    def _settle(self, held: Reservation, outcome: Outcome | None) -> None:
        Slots(self.ledger.table).settle(held, real_micros(outcome, held.micros))

    def _tell(self, item: Item) -> None:
        """Tell once a month that most of its budget is spent or reserved."""
        if self.budget_usd is None:
            return
        month = month_of(self.now)
        sums = sums_of(item, month)
        budget = to_micros(self.budget_usd)
        if sums is None or sums.spent + sums.reserved < TOLD_AT * budget:
            return
        spent, reserved = sums.spent / MICROS, sums.reserved / MICROS
        self.notifier.tell_once(
            told_key("", month, "budget"),
            lambda: month_nearly_spent(month, spent, reserved, sums.runs, budget / MICROS),
        )
