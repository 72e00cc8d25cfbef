"""One fault in one call of AWS, whichever it is: by botocore's events, before and behind moto."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

KINDS = ("refused", "throttled", "timed-out", "lost", "sent-again", "dies-before", "dies-after")
"""``lost``: the call has its effect, and the answer never comes. ``sent-again``: then botocore
sends it a second time. ``dies``: the process ends, and nothing that it was about to do happens."""

CODES = {"refused": "AccessDeniedException", "throttled": "ThrottlingException"}


class Death(BaseException):
    """The process is gone: no handler of its own runs."""


@dataclass(frozen=True, order=True)
class Call:
    """The nth call of an operation, ``s3.PutObject``, counted from 1."""

    operation: str
    number: int


@dataclass
class Injector:
    """Counts the calls of some clients, and lets one of them go wrong."""

    clients: Iterable[Any]
    target: Call | None = None
    kind: str = ""
    calls: Counter[str] = field(default_factory=Counter)
    injected: bool = False
    dead: bool = False

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._about_to: dict[int, bool] = {}

    @contextmanager
    def at_work(self) -> Iterator[Injector]:
        """Inject while the block runs."""
        events = [client.meta.events for client in self.clients]
        for one in events:
            # moto answers in a handler of this event too: one comes before, one after the effect.
            one.register_first("before-send", self._before)
            one.register_last("before-send", self._behind)
        try:
            yield self
        finally:
            for one in events:
                one.unregister("before-send", self._before)
                one.unregister("before-send", self._behind)

    def _before(self, request: Any, event_name: str, **_: Any) -> None:
        operation = event_name.removeprefix("before-send.")
        with self._lock:
            if self.dead:
                raise Death
            again = self._about_to.pop(threading.get_ident(), False)
            if not again:  # a second try of botocore's is the same call
                self.calls[operation] += 1
            hit = not self.injected and self.target == Call(operation, self.calls[operation])
            if not hit:
                return
            if self.kind in ("lost", "sent-again", "dies-after"):
                self._about_to[threading.get_ident()] = True
                return
            self.injected = True
            self.dead = self.kind == "dies-before"
        if self.dead:
            raise Death
        if self.kind == "timed-out":
            raise ReadTimeoutError(endpoint_url=request.url)
        error = {"Error": {"Code": CODES[self.kind], "Message": "injected"}}
        raise ClientError(error, operation.rpartition(".")[2])  # type: ignore[arg-type]

    def _behind(self, request: Any, **_: Any) -> None:
        with self._lock:
            if not self._about_to.get(threading.get_ident()) or self.injected:
                return
            self.injected = True
            self.dead = self.kind == "dies-after"
            if self.kind != "sent-again":
                self._about_to.pop(threading.get_ident())
        if self.dead:
            raise Death
        raise ReadTimeoutError(endpoint_url=request.url)
