"""How many calls each role made of each service: ``calls.json`` in the cloud's home.

Of whoever acts as no role, as a person at this machine does, nothing is counted. The file is
written with a call, once a second at most.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from scripts.local.failing_calls import role_of

FILE = "calls.json"
EVERY_SECONDS = 1.0

Handler = Callable[..., Coroutine[Any, Any, Any]]


class Counts:
    """The file, and in memory what comes into it next."""

    def __init__(self, path: Path) -> None:
        self._path, self._written = path, -math.inf  # the clock may begin with the machine
        self._calls: Counter[str] = Counter()

    def around(self, service: str, handler: Handler) -> Handler:
        """Return a handler that counts, then does what `handler` does."""

        async def handle(method: str, path: str, headers: Any, body: Any, query: Any) -> Any:
            self.add(role_of(headers), service)
            return await handler(method, path, headers, body, query)

        return handle

    def add(self, role: str, service: str) -> None:
        if role:
            self._calls[f"{role} {service}"] += 1
        if time.monotonic() >= self._written + EVERY_SECONDS:
            self._written = time.monotonic()
            temporary = self._path.with_suffix(".new")
            temporary.write_text(json.dumps(self._calls, indent=2, sort_keys=True) + "\n")
            temporary.replace(self._path)  # a reader never sees half of it


def read(home: Path) -> Counter[str]:
    """Return the calls so far, by ``<role> <service>``."""
    try:
        return Counter(json.loads((home / FILE).read_text()))
    except FileNotFoundError:
        return Counter()


def register(home: Path) -> None:
    """Count before every service, those calls too that are made to fail."""
    from ministack import app

    counts = Counts(home / FILE)
    for service, handler in list(app.SERVICE_HANDLERS.items()):
        app.SERVICE_HANDLERS[service] = counts.around(service, handler)
