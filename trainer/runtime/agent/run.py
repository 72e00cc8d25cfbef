"""One run on its machine, from its receipt to its outcome."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
import time
from pathlib import Path
from typing import Any, Optional, Union

from parris.contract import EndedBy, State

from .aws import Aws
from .control import Control
from .environment import Environment
from .inputs import Inputs
from .limits import (
    END_SECONDS,
    LAST_MOMENT_SECONDS,
    OUTCOME_PAUSES,
    OUTCOME_SECONDS,
    SHUTDOWN_GRACE_SECONDS,
    STREAM_SECONDS,
    grace_within,
    notice_times,
    stop_times,
)
from .log import LogStreamer
from .machine import is_restarting, read_identity
from .restore import RESTORED, Restore, source_of
from .store import FOLDERS, Store
from .trainer import Trainer
from .watch import Watch
from .words import UNKNOWN, Ending, Event, Events, RunError, disk_reason, iso, say

TOLD = "outcome-stored"
"""A file that is there once the outcome is in S3."""


def next_event(events: Events, until: float) -> Event:
    """Return the next event, or "time" when it is `until`."""
    while time.time() < until:  # in steps: the clock of a fresh machine may still be set
        with contextlib.suppress(queue.Empty):
            return events.get(timeout=max(0.0, min(until - time.time(), 30.0)))
    return "time"


def supervise(
    trainer: Trainer, control: Control, store: Store, most_grace: float, events: Events
) -> Ending:
    """Wait until the run is over, and return how it ended; nothing of the trainer is left."""
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
        reason = f"the trainer exited with status 0 just after the machine was told to {what}"
        return Ending(
            State.INTERRUPTED, f"{reason}; if it said so itself, {UNKNOWN}", EndedBy.SHUTDOWN
        )
    if told_to_stop and not near_deadline:
        what = "restart, which ends a run," if is_restarting() else "power off"
        reason = f"the machine was told to {what} while the trainer ran"
        return Ending(State.INTERRUPTED, reason, EndedBy.SHUTDOWN)
    reason = f"the trainer was still running near its deadline, {iso(deadline)}"
    return Ending(State.TIMED_OUT, reason, EndedBy.SHUTDOWN if told_to_stop else EndedBy.AGENT)


def fetch_first(
    fetch: Union[Restore, Inputs], control: Control, most_grace: float, events: Events
) -> Optional[Ending]:
    """Fetch what the trainer begins with; return how the run ended, if it did meanwhile.

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
    when = f"during the fetch of {fetch.what}"
    if isinstance(event, Ending):
        return event._replace(reason=f"{event.reason} {when}")
    if event == "signal":
        reason = f"the machine was told to power off {when}"
        return Ending(State.INTERRUPTED, reason, EndedBy.SHUTDOWN)
    return Ending(State.TIMED_OUT, f"its deadline came {when}", EndedBy.AGENT)


class Run:
    """One run from its receipt to its outcome."""

    def __init__(self, home: Path, events: Events) -> None:
        self._home, self._events = home, events
        self._uri = os.environ.get("PARRIS_RUN_URI", "")
        self._own_uri = os.environ["PARRIS_MACHINE_URI"]
        self._aws = Aws()
        self._store = Store(self._aws, home, self._own_uri)
        self._identity: dict[str, str] = {}
        self._version: str | None = None
        self._control: Control | None = None
        self._trainer: Trainer | None = None
        self._streamer: LogStreamer | None = None
        self._environment: Environment | None = None
        self._watch: Watch | None = None
        self._ending: Ending | None = None

    def train(self) -> None:
        """Run the trainer until it is over."""
        threading.Thread(target=read_identity, args=(self._identity,), daemon=True).start()
        receipt = json.loads((self._home / "run.json").read_text())
        self._version = receipt.get("parris-version")
        self._streamer = LogStreamer(self._aws, receipt, self._own_uri)
        self._streamer.start()
        self._control = Control(self._aws, self._home, self._uri, receipt, self._events)
        self._trainer = Trainer(self._home, receipt, self._events)
        try:
            for name in FOLDERS:
                (self._home / name).mkdir(exist_ok=True)
            most_grace = float(receipt["stop-grace-seconds"])
            self._control.start()
            resumed, source = False, source_of(receipt)
            if source is not None:
                fetch = Restore(self._aws, self._home, self._uri, receipt, source)
                self._ending = fetch_first(fetch, self._control, most_grace, self._events)
                if self._ending is not None:
                    return
                self._note(f"parris: {fetch.told}")
                resumed = fetch.resumed
            inputs = Inputs(self._aws, self._home, receipt, self._note)
            if inputs.are_there:
                self._ending = fetch_first(inputs, self._control, most_grace, self._events)
                if self._ending is not None:
                    return
                if inputs.told:
                    self._note(f"parris: {inputs.told}")
            self._trainer.start(self._streamer, resumed, inputs.secrets)
            self._environment = Environment(self._home)
            self._environment.start(self._trainer.group)
            self._watch = Watch(self._home, receipt, self._events)
            self._watch.start()
        except RunError as error:
            self._ending = Ending(State.FAILED, str(error), EndedBy.AGENT)
        except OSError as error:
            self._ending = Ending(State.FAILED, disk_reason(str(error)), EndedBy.AGENT)
        else:
            interval = float(receipt["sync-interval-seconds"])
            self._store.start(interval, receipt.get("attempt", 1), restored=source is not None)
            self._ending = supervise(
                self._trainer, self._control, self._store, most_grace, self._events
            )

    def _note(self, text: str) -> None:
        if self._trainer is not None and self._streamer is not None:
            self._trainer.note(text, self._streamer)

    def take_over(self, ending: Ending) -> None:
        """Let `keep` end a run that another process began."""
        self._ending = ending
        read_identity(self._identity)
        with contextlib.suppress(OSError, ValueError, KeyError):
            receipt = json.loads((self._home / "run.json").read_text())
            self._version = receipt.get("parris-version")
            self._control = Control(self._aws, self._home, self._uri, receipt, self._events)
            self._watch = Watch(self._home, receipt, self._events)

    def keep(self, error: BaseException | None) -> None:
        """Store everything, then the outcome: on the console first, then in S3."""
        ending = self._ending or Ending(
            State.FAILED, f"the supervisor failed: {type(error).__name__}: {error}", EndedBy.AGENT
        )
        if self._trainer is not None and self._ending is None:
            self._trainer.stop(10)
            self._trainer.drain()
        if self._streamer is not None:
            self._streamer.end()
        if self._environment is not None:
            self._environment.write()
        now = deadline = time.time()
        if self._control is not None:
            self._control.end()
            deadline = self._control.deadline
        if self._watch is not None:
            self._watch.finish()
        warnings = list(self._trainer.warnings) if self._trainer else []
        warnings += self._store.finish(max(now, deadline) + END_SECONDS)
        if self._streamer is not None:
            self._streamer.join(max(5.0, now + STREAM_SECONDS - time.time()))
            if skipped := self._streamer.not_sent():
                why = f" ({self._streamer.failure})" if self._streamer.failure else ""
                count = f"{skipped:,} log lines were not streamed{why}"
                warnings.append(f"{count}; log.txt has the whole log")
        text = json.dumps(self._outcome(ending, warnings))
        say(f"outcome: {text}")
        target, until = f"{self._own_uri}/outcome.json", time.monotonic() + OUTCOME_SECONDS
        for pause in OUTCOME_PAUSES:
            # From memory: a full disk has no room even for this.
            call = ("s3", "cp", "--only-show-errors", "-", target)
            left = until - time.monotonic()
            answer = self._aws.call(*call, stdin=text.encode(), timeout=left)
            if answer.status == 0:
                with contextlib.suppress(OSError):
                    (self._home / TOLD).touch()
                break
            say(f"could not store outcome.json: {answer.said}")
            if time.monotonic() + pause > until:
                break
            time.sleep(pause)

    def _outcome(self, ending: Ending, warnings: list[str]) -> dict[str, Any]:
        trainer = self._trainer
        started = trainer.started if trainer else None
        finished = trainer.finished if trainer else None
        seconds = trainer.seconds if trainer else None
        booted = os.environ.get("PARRIS_BOOTED")
        return {
            "run-id": os.environ.get("PARRIS_RUN_ID"),
            "job": os.environ.get("PARRIS_JOB"),
            "state": ending.state,
            "reason": ending.reason,
            "ended-by": ending.ended_by,
            "exit-status": trainer.exit_status if trainer else None,
            **{key: self._identity.get(key) for key in ("instance-id", "instance-type", "image")},
            "booted": booted,
            "started": iso(started) if started else None,
            "finished": iso(finished) if finished else None,
            "trainer-seconds": None if seconds is None else round(seconds, 3),
            "peak-memory-bytes": trainer.peak_memory if trainer else None,
            "cost-usd": self._control.cost(booted) if self._control else None,
            "bytes-stored": self._store.bytes_stored(),
            "warnings": warnings,
            **(self._watch.outcome() if self._watch else {}),
            "parris-version": self._version,
        }


ENDS = {
    "restarted": Ending(
        State.INTERRUPTED,
        "the machine was restarted, and a run does not go on after that",
        EndedBy.SHUTDOWN,
    ),
    "died": Ending(
        State.FAILED, "the supervisor was killed, and the trainer with it", EndedBy.AGENT
    ),
}
"""How a run ended whose supervisor could not say so, by who calls for it (user-data.sh)."""


def store_leftovers(home: Path, how: str) -> None:
    """Store what a run has left whose supervisor is no more, and its outcome if there is none."""
    if (home / TOLD).exists():
        return
    ending = ENDS[how]
    if detail := os.environ.get("EXIT_STATUS"):  # systemd.exec(5): a signal's name, or a number
        ending = ending._replace(reason=f"{ending.reason} ({detail})")
    say(f"warning: {ending.reason}")
    run = Run(home, queue.SimpleQueue())
    run.take_over(ending)
    run.keep(None)
