"""Grids, as the reap function sees to them: what ends starts what waits, sweeps do the rest."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ..aws.ledger import Ledger
from ..aws.results import Results
from ..aws.told import told_key
from ..aws.topic import Notifier
from ..aws.trials import Trials
from ..contract import STOP_EARLY, State
from ..events.request import Trial
from ..events.router import GRID, is_trial, relaunch_event, trial_event
from ..runs import messages_of_grids as messages
from ..runs.grid import Entry, GridRecord
from ..runs.month import real_micros, to_micros
from ..runs.names import run_prefix
from ..runs.record import RunRecord
from ..runs.times import iso
from ..runs.trials import Fate, fate_of, fits, reached, trials_to_begin, why_to_stop
from .early import EarlyStops
from .failures import Careful
from .launches import Launches

if TYPE_CHECKING:
    from ..runs.documents import Outcome

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GridReaper:
    """Each step may be done twice, by several invocations at once."""

    ledger: Ledger
    storage: Results
    launches: Launches
    notifier: Notifier
    early: EarlyStops
    now: datetime
    at_once: int = 8

    @property
    def grids(self) -> Trials:
        return Trials(self.ledger.table)

    def answer(self, event: Mapping[str, Any]) -> dict[str, Any] | None:
        """Do what an event asks for that is about a grid; None for any other.

        That is the word of the launch function, or of Lambda on a trial that it refused.
        """
        if GRID in event:
            return self.look(**event[GRID])
        sent = event.get("requestPayload")
        return self.look(str(sent.get("job")), str(sent.get("grid"))) if is_trial(sent) else None

    def sweep(self, careful: Careful) -> None:
        """Do what is missing about each grid."""
        found, problems = self.grids.open_grids()
        for problem in problems:
            careful(problem, partial(_broken, problem))
        for known in found:
            careful(f"grid {known.name}", partial(self.look, known.job, known.grid_id))
        for known in found:
            careful(f"early stops of grid {known.name}", partial(self._stop_early, known, careful))

    def look(self, job: str, grid_id: str) -> dict[str, Any]:
        """Look at each trial of a grid that is under way, and begin what may begin."""
        grid = self.grids.read(job, grid_id)
        if grid is None or not grid.is_open:
            return {"ignored": grid_id}
        entries = list(grid.running.values())
        with ThreadPoolExecutor(max_workers=self.at_once) as pool:
            list(pool.map(partial(self._look_at, grid), entries))
        now_is = self.grids.read(job, grid_id) if entries else grid
        if now_is is not None:
            self.advance(now_is)
        return {"grid": grid_id, "under-way": len(entries)}

    def settle(self, record: RunRecord, outcome: Outcome) -> GridRecord | None:
        """Note that a run is over, which is a trial; return its grid as it is then."""
        if record.trial is None:
            return None
        grid_id, number = record.trial

        def cost(reserved: int | None) -> int:
            if reserved is None:
                return to_micros(outcome.get("cost-usd") or 0)
            return real_micros(outcome, reserved)

        grid = self.grids.settle(
            record.job,
            grid_id,
            number,
            str(outcome["state"]),
            cost,
            lambda grid: reached(grid, number, outcome),
        )
        if grid is not None:
            self.early.keep(grid, number, outcome)
        return grid

    def advance(self, grid: GridRecord) -> None:
        """Begin as many trials as may begin; close the grid after its last one."""
        if why := why_to_stop(grid, self.now):
            grid = self.grids.stop(grid.job, grid.grid_id, why, by_hand=False) or grid
        if grid.stop and not grid.by_hand:
            for entry in grid.running.values():
                self._look_at(grid, entry)
            grid = self.grids.read(grid.job, grid.grid_id) or grid
        if grid.is_done:
            self._close(grid)
            return
        waiting = [entry for entry in grid.running.values() if entry.waits and fits(grid, entry)]
        if waiting and not grid.stop:  # a place has come free
            self._send_again(grid, min(waiting, key=lambda entry: entry.number))
        numbers = trials_to_begin(grid, self.now)
        if not numbers:
            return
        if numbers.start == 1:
            key = told_key(grid.job, grid.grid_id, "grid-started")
            self.notifier.is_told(key, lambda: messages.grid_started(grid))
        begun, grid = self.grids.start(grid, numbers, secrets.token_hex(8), self.now)
        if begun:
            self._send(grid, numbers)

    def _look_at(self, grid: GridRecord, entry: Entry) -> None:
        """Do what is to be done about a trial that has begun."""
        run = self.ledger.read(grid.job, grid.run_id(entry.number))
        fate = fate_of(grid, entry, run, self.now)
        idle = run is not None and run.state == State.QUEUED and run.stack_id is None
        if entry.kept and run and idle and entry.kept == f"{run.claims} {entry.micros}":
            # Its launch died before it gave that back; the next look goes on.
            self.grids.leave(grid.job, grid.grid_id, entry.number, entry.kept)
            return
        if fate is Fate.SEND:
            self._send_again(grid, entry)
        elif fate is Fate.SETTLE:
            self._settle(grid, entry, run)
        elif fate is Fate.DROP:
            self._end_without_stack(run, grid.stop)
            self.grids.drop(grid, entry.number)
        elif fate is Fate.STOP and run is not None:
            self._ask_to_stop(run, {"by": "make stop"})

    def _settle(self, grid: GridRecord, entry: Entry, run: RunRecord | None) -> None:
        if run is not None and run.outcome is not None:
            if not run.is_open:  # else whoever tells of it does so
                self.settle(run, run.outcome)
            return
        if self._end_without_stack(
            run, f"its launch failed {max(entry.tries, entry.failed) + 1} times"
        ):
            failed = str(State.LAUNCH_FAILED)
            nothing = (lambda _: 0, lambda _: None)
            key = (grid.job, grid.grid_id, entry.number)
            self.grids.settle(*key, failed, *nothing, seen=entry)

    def _end_without_stack(self, run: RunRecord | None, why: str) -> bool:
        """Note that no launch of a trial comes any more; return whether that is so."""
        if run is None or run.state == State.LAUNCH_FAILED:
            return True
        reason = f"{why}; {run.reason}" if run.reason else why
        return self.ledger.hold(run, State.LAUNCH_FAILED, reason)

    def _stop_early(self, grid: GridRecord, careful: Careful) -> None:
        """Ask those trials to stop that the others have left behind."""
        for run, why in self.early.of(grid):
            log.info("trial %s is asked to stop early: %s", run.name, why)
            asked = {"by": STOP_EARLY, "reason": why}
            careful(f"early stop of {run.name}", partial(self._ask_to_stop, run, asked))

    def _ask_to_stop(self, run: RunRecord, asked: Mapping[str, str]) -> None:
        stop = {"requested": iso(self.now), **asked}
        self.storage.change_receipt(
            run_prefix(run.job, run.run_id),
            lambda held: held if "stop" in held else {**held, "stop": stop},
        )
        if run.next is not None:  # between two machines: the launch function looks
            self.launches.start(relaunch_event(run.job, run.run_id, run.next.number))

    def _send_again(self, grid: GridRecord, entry: Entry) -> None:
        if self.grids.send_again(grid, entry, self.now):
            self._send(grid, [entry.number])

    def _send(self, grid: GridRecord, numbers: Iterable[int]) -> None:
        """Ask the launch function for trials; of those that are lost a sweep asks again."""

        def start(number: int) -> None:
            trial = Trial(
                grid_id=grid.grid_id,
                number=number,
                cost_limit_micros=grid.limit,
                follows=grid.grid.follows,
            )
            self.launches.start(trial_event(grid.job, trial, grid.parameters_of(number)))

        with ThreadPoolExecutor(max_workers=self.at_once) as pool:
            list(pool.map(start, numbers))

    def _close(self, grid: GridRecord) -> None:
        """Tell of the end of a grid, then close it."""
        if not grid.is_open:
            return
        key = told_key(grid.job, grid.grid_id, "grid-ended")
        if self.notifier.is_told(key, lambda: messages.grid_ended(grid)):
            self.grids.close(grid, self.now)

    def holds(self, record: RunRecord) -> bool:
        """Return whether a queued trial may still be launched."""
        if record.trial is None:
            return False
        grid_id, number = record.trial
        grid = self.grids.read(record.job, grid_id)
        return grid is not None and number in grid.running

    def is_grid(self, record: RunRecord) -> bool:
        """Return whether a run that was claimed has become a grid."""
        return self.grids.read(record.job, record.run_id) is not None


def _broken(problem: str) -> None:
    raise ValueError(f"nobody can read it; delete that item of the ledger's table ({problem})")
