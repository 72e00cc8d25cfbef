"""A worker of a run of several machines, which does what the head says, and ends with it."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path
from typing import Any, Optional

from parris.contract import EndedBy, State

from .limits import NODE_BEAT_SECONDS, NODES_SECONDS
from .line import Line, token
from .machine import arm_timer
from .ranks import node_count, node_rank, own_address, ports
from .words import Ending, Events


class Worker:
    """Any other node: does what the head says, and ends with it."""

    def __init__(
        self,
        run_id: str,
        attempt: int,
        events: Events,
        home: Path,
        ended: threading.Event,
        folder: str,
    ) -> None:
        """Make ready.

        Args:
            ended: set once this node's trainer has ended.
            folder: the name of the one that this machine stores in.
        """
        self.rank, self._events, self._home = node_rank(), events, home
        self._trainer_ended, self._folder = ended, folder
        self.port, self._head_port = ports(run_id, attempt)
        self.addresses: list[str] = []
        self._head = os.environ["PARRIS_HEAD"]
        self._line: Optional[Line] = None
        self._there, self._go, self._over = (threading.Event() for _ in range(3))
        self._power_off_at: Optional[float] = None
        self._said: Optional[Ending] = None

    def start(self, _limits: object = None) -> None:
        """Begin to look for the head."""
        threading.Thread(target=self._connect, daemon=True, name="nodes").start()

    def wait(self, given_up: threading.Event) -> str:
        """Say that this node is ready, wait until all are; return which node it is."""
        told = False
        while not given_up.is_set() and not self._go.wait(0.1):
            if self._line is not None and not told:
                self._line.say(ready=True)
                told = True
        return f"node {self.rank} of {node_count()}; the head is {self._head}"

    def asked(self, _grace: float) -> None:
        """Say at once that this node's trainer is asked to end, unless the head said so."""
        if not self._over.is_set() and self._said is None:
            self.report(Ending(State.INTERRUPTED, "it is told to stop", EndedBy.SHUTDOWN))

    def report(self, ending: Ending, left: Optional[float] = None) -> None:
        """Tell the head what is to end the run; it then says so to all."""
        self._said = ending
        if self._line is not None:
            more = {} if left is None else {"left": left}
            self._line.say(ending=list(ending), **more)

    def explain(self, ending: Ending) -> Ending:
        return ending

    def finish(self, ending: Ending, _grace: float) -> None:
        """Say how this node's own part ended."""
        over = self._over.is_set()
        self._over.set()
        if self._line is not None and not over:
            self._line.say(ending=list(self._said or ending), over=True)

    def _connect(self) -> None:
        until, said = time.monotonic() + NODES_SECONDS, ""
        while time.monotonic() < until and not self._over.is_set():
            try:
                own = own_address()
                connection = socket.create_connection(
                    (self._head, self._head_port), timeout=5, source_address=(own, 0)
                )
            except OSError as error:
                said = str(error)
                time.sleep(1)
                continue
            self._line = Line(connection)
            self._line.say(rank=self.rank, token=token(), folder=self._folder)
            threading.Thread(target=self._beat, daemon=True, name="beat").start()
            self._listen(self._line)
            return
        reason = f"the head ({self._head}) could not be reached within {NODES_SECONDS} s: {said}"
        self._events.put(Ending(State.FAILED, reason, EndedBy.AGENT))

    def _beat(self) -> None:
        while not self._over.wait(NODE_BEAT_SECONDS):
            if self._line is not None:
                self._line.say()

    def _listen(self, line: Line) -> None:
        try:
            while not self._over.is_set():
                self._hear(line.hear())
        except OSError as error:
            if not self._over.is_set():
                reason = f"the head ({self._head}) is gone: {error}"
                self._events.put(Ending(State.INTERRUPTED, reason, EndedBy.NODE))

    def _hear(self, said: dict[str, Any]) -> None:
        if "left" in said:
            self._arm(float(said["left"]))
        if "go" in said:
            self.addresses = [str(one) for one in said["go"]]
            self._go.set()
        if over := said.get("over"):
            self._over.set()
            if not over["ask"]:
                self._trainer_ended.wait(float(over["grace"]))
            if not self._trainer_ended.is_set():
                reason = "the head has ended the run"
                self._events.put(Ending(State.STOPPED, reason, EndedBy.NODE))

    def _arm(self, left: float) -> None:
        """Let the machine's own timer follow the run's deadline, by the head's word."""
        at = time.monotonic() + left
        if self._power_off_at is not None and abs(at - self._power_off_at) < 60:
            return
        if arm_timer(self._home, max(1, int(left // 60) + 1)):
            self._power_off_at = at
