"""Each step of a run, beside whatever may end the run meanwhile."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import Callable, Optional, Protocol

from parris.contract import EndedBy, State

from .control import Control
from .limits import (
    LAST_MOMENT_SECONDS,
    SHUTDOWN_GRACE_SECONDS,
    grace_within,
    notice_times,
    stop_times,
)
from .machine import is_restarting
from .process import Process
from .restore import RESTORED
from .store import Store
from .words import UNKNOWN, Ending, Event, Events, RunError, disk_reason, iso, say


class Step(Protocol):
    """What is done before the trainer starts, on a thread of its own."""

    problem: str
    """Why it failed; "" if it did not."""
    told: str
    """What came of it."""

    @property
    def what(self) -> str:
        """What it brings."""

    @property
    def doing(self) -> str:
        """What it is called while it goes on."""

    def start(self, events: Events) -> None:
        """Begin; RESTORED comes when it is over."""

    def give_up(self) -> None:
        """End it; nobody needs it any more."""

    def put_in_place(self) -> None:
        """Let the run have what it has brought."""


class Work:
    """A step that is a function, which says what came of it."""

    def __init__(self, doing: str, what: str, work: Callable[[threading.Event], str]) -> None:
        self.what, self.doing = what, f"the {doing} of {what}"
        self.problem = self.told = ""
        self._work, self._given_up = work, threading.Event()
        self._thread: Optional[threading.Thread] = None

    def start(self, events: Events) -> None:
        def work() -> None:
            try:
                self.told = self._work(self._given_up)
            except OSError as error:
                self.problem = disk_reason(str(error))
            finally:
                events.put(RESTORED)

        self._thread = threading.Thread(target=work, daemon=True, name="work")
        self._thread.start()

    def give_up(self) -> None:
        self._given_up.set()
        if self._thread is not None:
            self._thread.join()

    def put_in_place(self) -> None:
        """Nothing: it has done so itself."""


def next_event(events: Events, until: float) -> Event:
    """Return the next event, or "time" when it is `until`."""
    while time.time() < until:  # in steps: the clock of a fresh machine may still be set
        with contextlib.suppress(queue.Empty):
            return events.get(timeout=max(0.0, min(until - time.time(), 30.0)))
    return "time"


def supervise(
    trainer: Process, control: Control, store: Store, most_grace: float, events: Events
) -> Ending:
    """Wait until a process is over, and return how the run ended, or the process, by itself.

    Nothing of it is left then.
    """
    who = trainer.called
    event: Event = "deadline"
    while event == "deadline":
        stop_at, grace = stop_times(time.time(), control.deadline, most_grace)
        event = next_event(events, stop_at)
    deadline = control.deadline
    near_deadline = time.time() >= deadline - 60
    told_to_stop = event == "signal"
    if told_to_stop:
        trainer.ended.wait(LAST_MOMENT_SECONDS)
        grace = min(grace, SHUTDOWN_GRACE_SECONDS)
    elif isinstance(event, Ending):
        if event.ended_by == EndedBy.SPOT:
            store.sync_now(*notice_times(deadline - time.time(), most_grace))
        grace = grace_within(deadline - time.time(), most_grace)
    ended_by_itself = trainer.ended.is_set()
    if not ended_by_itself:
        store.doubt()
    if not trainer.stop(0 if ended_by_itself else grace):
        store.trust()
    trainer.drain()
    if trainer.log_error:
        return Ending(State.FAILED, disk_reason(trainer.log_error), EndedBy.AGENT)
    if ended_by_itself and not told_to_stop:
        # A script that names a power-off may have asked for one, and have ended before we heard.
        doubtful = trainer.exit_status == 0 and trainer.names_power_off
        if not doubtful or next_event(events, time.time() + LAST_MOMENT_SECONDS) != "signal":
            return trainer.judge()
    if isinstance(event, Ending):
        return event
    if ended_by_itself and trainer.exit_status == 0:
        what = "restart" if is_restarting() else "power off"
        reason = f"{who} exited with status 0 just after the machine was told to {what}"
        return Ending(
            State.INTERRUPTED, f"{reason}; if it said so itself, {UNKNOWN}", EndedBy.SHUTDOWN
        )
    if told_to_stop and not near_deadline:
        what = "restart, which ends a run," if is_restarting() else "power off"
        reason = f"the machine was told to {what} while {who} ran"
        return Ending(State.INTERRUPTED, reason, EndedBy.SHUTDOWN)
    reason = f"{who} was still running near its deadline, {iso(deadline)}"
    return Ending(State.TIMED_OUT, reason, EndedBy.SHUTDOWN if told_to_stop else EndedBy.AGENT)


def fetch_first(
    fetch: Step, control: Control, most_grace: float, events: Events
) -> Optional[Ending]:
    """Do what comes before the trainer; return how the run ended, if it did meanwhile.

    Raises:
        RunError: if it could not be fetched. Without its checkpoints a training would cost as much
            again, and nobody would know.
        OSError: if it could not be put in place.
    """
    fetch.start(events)
    event: Event = "deadline"
    while event == "deadline":
        stop_at, _ = stop_times(time.time(), control.deadline, most_grace)
        event = next_event(events, stop_at)
    if event == RESTORED:
        if fetch.problem:
            raise RunError(f"{fetch.what} could not be fetched: {fetch.problem}")
        fetch.put_in_place()
        if fetch.told:
            say(fetch.told)
        return None
    fetch.give_up()
    when = f"during {fetch.doing}"
    if isinstance(event, Ending):
        return event._replace(reason=f"{event.reason} {when}")
    if event == "signal":
        reason = f"the machine was told to power off {when}"
        return Ending(State.INTERRUPTED, reason, EndedBy.SHUTDOWN)
    return Ending(State.TIMED_OUT, f"its deadline came {when}", EndedBy.AGENT)
