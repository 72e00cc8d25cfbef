"""The head of a run of several machines, which decides for all of them."""

from __future__ import annotations

import contextlib
import hmac
import socket
import threading
import time
from typing import Any, Optional, Protocol

from parris.contract import MACHINE_ENDS, MACHINE_STATES, EndedBy, State

from .limits import NODE_BEAT_SECONDS, NODE_SILENT_SECONDS, NODES_SECONDS
from .line import Line, token
from .ranks import node_count, own_address, ports
from .words import Ending, Events, say


class Limits(Protocol):
    """What the head's Control has of the run's end."""

    deadline: float

    def lower(self, deadline: float) -> None:
        """Let the machine be off at `deadline`, if that is earlier."""


class Head:
    """Node 0: waits for all others, hears how they end, and tells them when the run is over."""

    def __init__(self, run_id: str, attempt: int, events: Events, folder: str) -> None:
        """Make ready.

        Args:
            folder: the name of the one that this machine stores in.
        """
        self.rank, self._count, self._events = 0, node_count(), events
        self.port, self._own_port = ports(run_id, attempt)
        self.addresses: list[str] = []
        """Of all nodes, by rank, once they are all there."""
        self.folders = [folder] + [""] * (self._count - 1)
        """The name of each node's own, by rank; "" of one that has not come."""
        self._limits: Optional[Limits] = None
        self._lines: dict[int, tuple[Line, str]] = {}
        self._ready: set[int] = set()
        self._ended: dict[int, str] = {}
        """By rank: the state in which a worker's own run ended, "" of one that is gone."""
        self._endings: list[Ending] = []
        self._change, self._over = threading.Condition(), threading.Event()
        self._asked = False

    def start(self, limits: Limits) -> None:
        """Listen for the others.

        Raises:
            OSError: if the address is not known or not to be had.
        """
        self._limits = limits
        self.addresses = [own_address()]
        server = socket.create_server((self.addresses[0], self._own_port), backlog=32)
        for work in (lambda: self._accept(server), self._beat, self._await_all):
            threading.Thread(target=work, daemon=True, name="nodes").start()

    def wait(self, given_up: threading.Event) -> str:
        """Wait until all nodes are ready, let their trainers begin; return where they are."""
        with self._change:
            while len(self._ready) < self._count - 1:
                self._change.wait(0.2)
                if given_up.is_set():
                    return ""
            others = [self._lines[rank][1] for rank in sorted(self._lines)]
        self.addresses = [self.addresses[0], *others]
        self._tell(go=self.addresses)
        return f"{self._count} nodes are there: {', '.join(self.addresses)}"

    def asked(self, grace: float) -> None:
        """Let the workers end as this node's trainer is asked to."""
        self._asked = True
        self._tell(over={"ask": True, "grace": grace})

    def explain(self, ending: Ending) -> Ending:
        """Return how the run ended, given how its trainer did here.

        A trainer fails when a node that it talks to is gone, and often knows it first.
        """
        until = time.monotonic() + NODE_SILENT_SECONDS + NODE_BEAT_SECONDS
        while ending.state == State.FAILED and time.monotonic() < until:
            with self._change:
                for one in self._endings:
                    if one.state == State.INTERRUPTED:
                        return one
                if len(self._ended) == self._count - 1:
                    break
                self._change.wait(1)
        return ending

    def finish(self, ending: Ending, grace: float) -> None:
        """Tell the others that the run is over."""
        self._over.set()
        if not self._asked:
            self._tell(over={"ask": ending.state != State.SUCCEEDED, "grace": grace})

    def _tell(self, **words: Any) -> None:
        with self._change:
            lines = [line for line, _ in self._lines.values()]
        for line in lines:
            line.say(**words)

    def _accept(self, server: socket.socket) -> None:
        while not self._over.is_set():
            with contextlib.suppress(OSError):
                connection, (address, *_) = server.accept()
                arguments = (Line(connection), address)
                threading.Thread(target=self._serve, args=arguments, daemon=True).start()

    def _serve(self, line: Line, address: str) -> None:
        rank = 0
        try:
            first = line.hear()
            known = hmac.compare_digest(str(first.get("token")), token())
            if not known or first.get("rank") not in range(1, self._count):
                raise ConnectionAbortedError("it is no node of this run")
            with self._change:
                if first["rank"] in self._lines:
                    raise ConnectionAbortedError("there is such a node")
                rank = int(first["rank"])
                self._lines[rank] = line, address
                self.folders[rank] = str(first.get("folder", ""))
                self._change.notify_all()
            say(f"node {rank} is there: {address}")
            while True:
                self._hear(rank, line.hear())
        except OSError as error:
            line.close()
            if rank and not self._over.is_set() and rank not in self._ended:
                why = "it is silent" if isinstance(error, TimeoutError) else str(error)
                reason = f"node {rank} ({address}) is gone: {why}"
                self._end(rank, Ending(State.INTERRUPTED, reason, EndedBy.NODE), ended="")

    def _hear(self, rank: int, said: dict[str, Any]) -> None:
        if said.get("ready"):
            with self._change:
                self._ready.add(rank)
                self._change.notify_all()
        if "left" in said and self._limits is not None:
            self._limits.lower(time.time() + float(said["left"]))
        if words := said.get("ending"):
            state, reason, ended_by = (str(word) for word in words)
            if state not in MACHINE_STATES or ended_by not in MACHINE_ENDS:
                raise ConnectionAbortedError("it says what is no end of a run")
            ending = Ending(state, f"node {rank}: {reason}", ended_by)
            self._end(rank, ending, ended=state if said.get("over") else None)

    def _end(self, rank: int, ending: Ending, ended: Optional[str]) -> None:
        with self._change:
            if ended is not None:
                self._ended[rank] = ended
            if ending.state != State.SUCCEEDED:
                self._endings.append(ending)
            self._change.notify_all()
        if ending.state != State.SUCCEEDED and not self._over.is_set():
            say(f"warning: {ending.reason}")
            self._events.put(ending)

    def _beat(self) -> None:
        while not self._over.wait(NODE_BEAT_SECONDS):
            if self._limits is not None:
                self._tell(left=self._limits.deadline - time.time())

    def _await_all(self) -> None:
        """End the run if a node does not come."""
        with self._change:
            there = self._change.wait_for(
                lambda: len(self._lines) == self._count - 1, NODES_SECONDS
            )
            missing = [str(rank) for rank in range(1, self._count) if rank not in self._lines]
        if not there and not self._over.is_set():
            who = f"node{'s' if missing[1:] else ''} {', '.join(missing)} of {self._count}"
            reason = (
                f"{who} did not reach the head ({self.addresses[0]}) within {NODES_SECONDS} s: "
                "their security groups must let each other in"
            )
            self._events.put(Ending(State.FAILED, reason, EndedBy.AGENT))
