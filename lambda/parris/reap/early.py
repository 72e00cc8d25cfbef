"""Trials that a sweep stops early, because others of their grid did better by the same step."""

from __future__ import annotations

import logging
from collections.abc import Sequence
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
class Heard:
    """What the machine of a trial under way has said."""

    record: RunRecord
    over: bool
    history: History


@dataclass(frozen=True, kw_only=True)
class EarlyStops:
    """What the trials of grids have told: in this sweep those under way, at their end the others.

    Nothing but the quality of the comparison hangs on what is missing here.
    """

    histories: Histories
    now: datetime
    heard: dict[tuple[str, str], dict[int, Heard]] = field(default_factory=dict)
    """Of the trials under way: by job and grid id, then by number."""

    def hear(self, record: RunRecord, progress: Progress) -> None:
        """Take what the machine of a run under way has said, as EC2 and the ledger name it."""
        if record.trial is not None and progress.history is not None:
            grid_id, number = record.trial
            heard = Heard(record=record, over=progress.over, history=progress.history)
            self.heard.setdefault((record.job, grid_id), {})[number] = heard

    def keep(self, grid: GridRecord, number: int, outcome: Outcome) -> None:
        """Keep what a trial that is over had, for those that come after it."""
        history = read_history(outcome.get("history"))
        if grid.grid.stop_early and history is not None:
            self.histories.keep(grid, number, history, self.now)

    def of(self, grid: GridRecord) -> Sequence[tuple[RunRecord, str]]:
        """Return the trials under way that are to be stopped early, and why each."""
        heard = self.heard.get((grid.job, grid.grid_id))
        if not heard or not grid.grid.stop_early or grid.by_hand:
            return []
        known, problems = self.histories.read(grid)
        for problem in problems:
            log.warning("grid %s compares without what nobody can read: %s", grid.name, problem)
        known |= {number: one.history for number, one in heard.items()}
        stopped = []
        for number, one in heard.items():
            others = [history for other, history in known.items() if other != number]
            if not one.over and (why := why_early(grid.grid, one.history, others)):
                stopped.append((one.record, why))
        return stopped
