"""A trial's place in its grid, with its dollars, as one launch of it takes and leaves it.

What is about grids is imported when there is one: no other launch waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..aws.table import Table
from ..errors import InvalidConfig, InvalidEvent, LaunchRefused, NoRoom, UnknownJob
from ..runs.month import MICROS, to_micros
from ..runs.plan import RunPlan
from ..runs.record import RunRecord

if TYPE_CHECKING:
    from ..aws.grids import Grids
    from ..runs.grid import GridRecord


class TrialOver(LaunchRefused):
    """The trial is over, or its grid is. A sweep finds that out, and closes its run."""


def comes_again(error: Exception) -> bool:
    """Return whether a trial whose launch ended so is launched again by itself."""
    return not isinstance(error, (InvalidConfig, InvalidEvent, UnknownJob))


class Place:
    """That of a run which is a trial; of any other it does nothing."""

    def __init__(self, table: Table, record: RunRecord, plan: RunPlan) -> None:
        self.trial = plan.request.trial
        self._table, self._job, self._claim = table, record.job, record.claims
        self._kept = ""

    @property
    def _grids(self) -> Grids:
        from ..aws.grids import Grids

        return Grids(self._table)

    @property
    def is_limited(self) -> bool:
        """Whether it takes dollars of its grid's."""
        return self.trial is not None and self.trial.cost_limit_micros is not None

    def take(self, plan: RunPlan) -> None:
        """Take it, and reserve what the run may cost if the grid has a limit.

        Raises:
            NoRoom: if too few dollars are left at this moment.
            TrialOver: if the trial is not to begin any more.
        """
        if self.trial is None:
            return
        limit = self.trial.cost_limit_micros
        micros = 0 if limit is None else to_micros(plan.reserved_usd or 0)
        key = (self._job, self.trial.grid_id, self.trial.number)
        entered = self._grids.enter(*key, self._claim, micros, limit)
        if entered.granted:
            self._kept = f"{self._claim} {micros}"
        elif entered.waits and entered.grid is not None:
            self._grids.wait(*key, entered.waits, micros)
            raise NoRoom(_too_dear(entered.grid, micros))
        else:
            name = f"trial {self.trial.number} of grid {self.trial.grid_id}"
            raise TrialOver(f"{name} is not to begin (any more)")

    def leave(self, error: Exception) -> None:
        """Give it back; another launch of the trial takes it then."""
        if self.trial is not None and self._kept:
            from ..runs.grid import ROOM

            waits = ROOM if isinstance(error, NoRoom) else ""
            key = (self._job, self.trial.grid_id, self.trial.number)
            self._grids.leave(*key, self._kept, waits)


def _too_dear(grid: GridRecord, micros: int) -> str:
    left = ((grid.limit or 0) - grid.committed) / MICROS
    return (
        f"this trial may cost ${micros / MICROS:.4f}, and ${left:.4f} are left of the cost-limit "
        f"of grid {grid.grid_id}: ${grid.spent / MICROS:.4f} are spent and "
        f"${(grid.committed - grid.spent) / MICROS:.4f} reserved for trials under way"
    )
