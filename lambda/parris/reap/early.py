"""Trials that a sweep stops early, because others of their grid did better by the same step."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from ..aws.histories import Histories
from ..runs.early import why_early
from ..runs.grid import GridRecord
from ..runs.history import History, read_history
from ..runs.metrics import Progress
from ..runs.record import RunRecord

if TYPE_CHECKING:
    from ..runs.documents import Outcome

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EarlyStops:
    """What the trials of grids have told: in this sweep those under way, at their end the others.

    Nothing but the quality of the comparison hangs on what is missing here.
    """

    histories: Histories
    now: datetime
    heard: dict[str, tuple[RunRecord, Progress]] = field(default_factory=dict)
    """Of the trials under way, by the names of their runs."""

    def hear(self, record: RunRecord, progress: Progress) -> None:
        """Take what the machine of a run under way has said, as EC2 and the ledger name it."""
        if record.trial is not None and progress.history is not None:
            self.heard[record.name] = record, progress

    def keep(self, grid: GridRecord, number: int, outcome: Outcome) -> None:
        """Keep what a trial that is over had, for those that come after it."""
        history = read_history(outcome.get("history"))
        if grid.grid.stop_early and history is not None:
            self.histories.keep(grid, number, history, self.now)

    def of(self, grid: GridRecord) -> Sequence[tuple[RunRecord, str]]:
        """Return the trials under way that are to be stopped early, and why each."""
        if not grid.grid.stop_early or grid.by_hand:
            return []
        heard = [one for one in self.heard.values() if _is_of(grid, one[0])]
        if not heard:
            return []
        known = self._over(grid) | {
            record.trial[1]: progress.history
            for record, progress in heard
            if record.trial is not None and progress.history is not None
        }
        return [
            (record, why)
            for record, progress in heard
            if not progress.over and (why := _why(grid, record, known))
        ]

    def _over(self, grid: GridRecord) -> dict[int, History]:
        found, problems = self.histories.read(grid)
        for problem in problems:
            log.warning("grid %s compares without what nobody can read: %s", grid.name, problem)
        return found


def _is_of(grid: GridRecord, record: RunRecord) -> bool:
    return record.trial is not None and (record.job, record.trial[0]) == (grid.job, grid.grid_id)


def _why(grid: GridRecord, record: RunRecord, known: Mapping[int, History]) -> str:
    number = record.trial[1] if record.trial else 0
    others = [history for one, history in known.items() if one != number]
    return why_early(grid.grid, known[number], others)
