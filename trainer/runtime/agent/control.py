"""What is asked of a run while it is under way: by its receipt in S3, and by EC2."""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from pathlib import Path
from typing import Any, Callable

from parris.contract import EndedBy, State, read_stop

from .aws import Aws
from .limits import CONTROL_SECONDS, LAST_READ_SECONDS, SPOT_SECONDS
from .machine import METADATA_ERRORS, arm_timer, read_metadata
from .words import Ending, Events, iso, parse_iso, say

LEAST_BILLED_SECONDS = 60
"""EC2 bills Linux by the second from here on (EC2 user guide, "On-Demand Instances")."""


class Control:
    """What is asked of a run while it is under way: by its receipt in S3, and by EC2's notice.

    Attributes:
        deadline: time.time() at which the machine is to be off.
    """

    def __init__(
        self, aws: Aws, home: Path, uri: str, receipt: dict[str, Any], events: Events
    ) -> None:
        self._aws, self._home, self._uri, self._events = aws, home, uri, events
        self._receipt = receipt
        self.deadline = parse_iso(receipt["deadline"])
        self._hourly_usd: float | None = None
        self._over, self._lock = threading.Event(), threading.Lock()
        self._last_read: threading.Thread | None = None

    def start(self) -> None:
        """Obey the receipt, and then what becomes of it, until `end`."""
        self._obey(self._receipt)
        threading.Thread(target=self._poll, daemon=True, name="control").start()
        if self._receipt.get("market") == "spot":
            threading.Thread(target=self._watch_spot, daemon=True, name="spot").start()

    def lower(self, deadline: float) -> None:
        """Let the machine be off at `deadline`, if that is earlier."""
        with self._lock:
            self.deadline = min(self.deadline, deadline)

    def end(self) -> None:
        """Obey nothing more; if the price is still unknown, begin to read it once again."""
        with self._lock:
            self._over.set()
        if self._hourly_usd is None:
            self._last_read = threading.Thread(target=self._read, daemon=True, name="last-read")
            self._last_read.start()

    def cost(self, booted: str | None) -> float | None:
        """Return what the machine has cost since it `booted`, in US dollars, if that is known."""
        if self._last_read is not None:
            self._last_read.join(LAST_READ_SECONDS)
        if self._hourly_usd is None or not booted:
            return None
        seconds = max(LEAST_BILLED_SECONDS, time.time() - parse_iso(booted))
        return round(self._hourly_usd * seconds / 3600, 4)

    def _poll(self) -> None:
        while not self._over.wait(CONTROL_SECONDS):
            self._obey(self._read())

    def _read(self) -> dict[str, Any]:
        """Return the receipt as it is now, its price taken; nothing if it cannot be read."""
        answer = self._aws.call("s3", "cp", "--only-show-errors", f"{self._uri}/run.json", "-")
        with contextlib.suppress(ValueError):
            receipt = json.loads(answer.output)
            if answer.status == 0 and isinstance(receipt, dict):
                self._take_price(receipt)
                return receipt
        return {}

    def _take_price(self, receipt: dict[str, Any]) -> None:
        with contextlib.suppress(KeyError, TypeError, ValueError):
            hourly_usd = float(receipt["price"]["hourly-usd"])
            if 0 <= hourly_usd < math.inf:
                self._hourly_usd = hourly_usd

    def _obey(self, receipt: dict[str, Any]) -> None:
        self._take_price(receipt)
        with self._lock:
            if self._over.is_set():
                return
            deadline, stop = self.deadline, read_stop(receipt)
            with contextlib.suppress(KeyError, ValueError, AttributeError):
                deadline = parse_iso(receipt["deadline"])
            if deadline != self.deadline:
                self._move(deadline)
            if stop:
                self._end_run(Ending(State.STOPPED, *stop))

    def _move(self, deadline: float) -> None:
        """Arm the machine's timer anew, and only then let the stop time follow.

        A timer that cannot be moved stands: then only an earlier deadline is safe to take.
        """
        news = f"warning: the deadline {iso(self.deadline)} was changed to {iso(deadline)}"
        minutes = max(1, math.ceil((deadline - time.time()) / 60))
        if arm_timer(self._home, minutes):
            say(f"{news}; the machine's timer now ends in {minutes} min")
        else:
            say(f"{news}, but the machine's timer could not be")
            if deadline > self.deadline:
                return  # it is tried again with the next receipt
        self.deadline = deadline
        self._events.put("deadline")

    def _watch_spot(self) -> None:
        while not self._over.wait(SPOT_SECONDS):
            with contextlib.suppress(*METADATA_ERRORS, KeyError, TypeError, AttributeError):
                notice = json.loads(read_metadata("spot/instance-action"))
                what, when = f"{notice['action']} at {notice['time']}", parse_iso(notice["time"])
                with self._lock:
                    if not self._over.is_set():
                        self.deadline = min(self.deadline, when)
                        reason = f"EC2's notice for this spot machine: {what}"
                        self._end_run(Ending(State.INTERRUPTED, reason, EndedBy.SPOT))

    def _end_run(self, ending: Ending) -> None:
        say(f"warning: {ending.reason}")
        self._over.set()
        self._events.put(ending)


class WorkerControl(Control):
    """What is asked of a worker of a run of several machines: EC2's notice.

    All else its head is asked, and says to all. So the worker's own clock ends nothing.

    Attributes:
        deadline: EC2's; it has none of its own.
    """

    def __init__(
        self,
        aws: Aws,
        home: Path,
        receipt: dict[str, Any],
        events: Events,
        report: Callable[[Ending, float], None],
    ) -> None:
        super().__init__(aws, home, "", receipt, events)
        self.deadline, self._report = math.inf, report

    def start(self) -> None:
        if self._receipt.get("market") == "spot":
            threading.Thread(target=self._watch_spot, daemon=True, name="spot").start()

    def end(self) -> None:
        with self._lock:
            self._over.set()
        self.deadline = min(self.deadline, time.time())

    def cost(self, booted: str | None) -> float | None:  # noqa: ARG002
        """Return nothing: the head's word is of all machines."""
        return None

    def _end_run(self, ending: Ending) -> None:
        say(f"warning: {ending.reason}")
        self._over.set()
        self._report(ending, self.deadline - time.time())
