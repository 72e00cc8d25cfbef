"""How a run goes, for whoever asks while it does: its metrics, and how busy its machine is."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from parris.contract import EndedBy, State, newest_metrics

from .limits import LOOK_SECONDS, SAMPLE_SECONDS
from .metrics import NAME, Metrics
from .samples import Samples
from .usage import Gpu, Nvidia, Sample, Usage
from .words import Ending, Events, iso, say

LAST = "metrics.json"
"""What the reap function reads while the run goes on (docs/contracts.md)."""
IDLE_PERCENT = 5.0
"""Below it a GPU counts as idle: a driver's own work, or another process's, is no training."""


class Idle:
    """Whether all GPUs of the machine have been idle for so many minutes."""

    def __init__(self, minutes: float) -> None:
        self._minutes = minutes
        self._since: Optional[float] = None
        self._used: list[float] = []

    def see(self, gpus: Sequence[Gpu], moment: float) -> str:
        """Note how busy they are; return why the run is to end, "" if it is not.

        What nvidia-smi does not say is no sign of idleness, so that the time begins anew.

        Args:
            moment: time.monotonic().
        """
        used = [gpu.percent for gpu in gpus]
        busiest = max((one for one in used if one is not None), default=None)
        if busiest is None or None in used or busiest >= IDLE_PERCENT:
            self._since, self._used = None, []
            return ""
        self._since = moment if self._since is None else self._since
        self._used.append(sum(one for one in used if one is not None) / len(used))
        if moment - self._since < 60 * self._minutes:
            return ""
        mean, whose = sum(self._used) / len(self._used), "its GPU was"
        if len(used) > 1:
            whose = f"its {len(used)} GPUs were"
        how = f"used {mean:.1f} % on average, and never {IDLE_PERCENT:.0f} %"
        looks = f"{len(self._used)} looks over {(moment - self._since) / 60:.0f} minutes"
        return f"idle: {whose} {how}, in {looks} (idle-gpu-minutes is {self._minutes:g})"


class Watch:
    """Keeps `metrics.json` and `machine.jsonl` in the machine's folder while a run goes on."""

    def __init__(self, home: Path, receipt: dict[str, Any], events: Events) -> None:
        self._home, self._events = home, events
        self._attempt = receipt.get("attempt", 1)
        interval, minutes = receipt.get("sync-interval-seconds"), receipt.get("idle-gpu-minutes")
        self._idle = Idle(minutes) if isinstance(minutes, (int, float)) and minutes > 0 else None
        known = interval if isinstance(interval, (int, float)) else SAMPLE_SECONDS
        often = LOOK_SECONDS if self._idle else max(known, LOOK_SECONDS)
        self._pause = min(often, SAMPLE_SECONDS)
        self._metrics = Metrics(home / "output" / NAME, receipt.get("history"))
        self._samples, self._nvidia = Samples(home), Nvidia()
        self._usage: Optional[Usage] = None
        self._last: Sample = {}
        self._sampled = self._written = 0.0
        self._content: dict[str, Any] = {}
        self._over, self._lock = threading.Event(), threading.Lock()

    def start(self) -> None:
        """Look now and again, until `finish`."""
        self._usage, self._sampled = Usage(self._home), time.monotonic()
        with self._lock:
            self._write()
        threading.Thread(target=self._keep, daemon=True, name="watch").start()

    def finish(self) -> None:
        """Look for the last time, and write down what there is; it takes no more than a moment."""
        self._over.set()
        with self._lock:
            self._metrics.follow(last=True)
            if self._usage is not None and not self._last:  # of a short run that is all there is
                self._note([])
            self._samples.write()
            self._write()

    def outcome(self) -> dict[str, Any]:
        """Return what the run's outcome has of it."""
        usage = self._usage.summary() if self._usage else {}
        return {"metrics": newest_metrics(self._metrics.values), "usage": usage, **self._history()}

    def _keep(self) -> None:
        looks: list[list[Gpu]] = []
        while not self._over.wait(self._pause):
            is_due = time.monotonic() - self._sampled >= SAMPLE_SECONDS
            if self._idle or is_due:
                looks.append(self._nvidia.gpus())
            with self._lock:
                if self._over.is_set():
                    return
                self._metrics.follow()
                if is_due:
                    self._note(_mean(looks))
                self._write()
            why = self._idle.see(looks[-1], time.monotonic()) if self._idle else ""
            looks = [] if is_due else looks
            if why:
                say(f"warning: {why}")
                self._events.put(Ending(State.STOPPED, why, EndedBy.IDLE))
                self._idle = None

    def _note(self, gpus: Sequence[Gpu]) -> None:
        if self._usage is not None:
            self._sampled, self._last = time.monotonic(), self._usage.sample(gpus)
            self._samples.add({"time": iso(time.time()), **self._last})

    def _history(self) -> dict[str, Any]:
        history = self._metrics.history
        return {"history": history.points()} if history else {}

    def _write(self) -> None:
        """Write metrics.json if there is news, and once a minute as a sign that the run goes on."""
        over = self._over.is_set()
        content = {"metrics": self._metrics.values, "usage": self._last, "over": over}
        content |= self._history()
        if content == self._content and time.monotonic() - self._written < SAMPLE_SECONDS:
            return
        self._content, self._written = content, time.monotonic()
        whole = {"attempt": self._attempt, "time": iso(time.time()), **content}
        new = self._home / f"{LAST}.new"
        with contextlib.suppress(OSError):  # a full disk; the run's end says so
            new.write_text(json.dumps(whole))
            new.replace(self._home / LAST)


def _mean(looks: Sequence[Sequence[Gpu]]) -> list[Gpu]:
    """Return each GPU as it was on average over some looks; those that say nothing do not count."""
    told = [look for look in looks if look]
    gpus = []
    for one in zip(*told):
        parts = ([value for value in part if value is not None] for part in zip(*one))
        gpus.append(Gpu(*(sum(part) / len(part) if part else None for part in parts)))
    return gpus
