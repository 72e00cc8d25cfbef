"""A client of a service that moto lacks, whose calls go the way of botocore's own."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from botocore.config import Config
from botocore.exceptions import ReadTimeoutError
from botocore.hooks import HierarchicalEmitter


class FakeClient:
    """Hands its calls to a fake, past whoever listens to ``before-send``, such as an injector.

    botocore sends a call again whose answer did not come; so does this.
    """

    def __init__(self, service: str, fake: Callable[[], Any], config: Config | None) -> None:
        """Make it.

        Args:
            service: as botocore calls it.
            fake: returns what has the service's methods.
            config: of its world's clients; None for botocore's own retries.
        """
        self.meta = SimpleNamespace(events=HierarchicalEmitter())
        self.meta.events.register("before-send", lambda effect, **_: effect())
        self._service, self._fake = service, fake
        self._tries = 2 if config is None else 1

    def __getattr__(self, method: str) -> Callable[..., Any]:
        operation = "".join(word.title() for word in method.split("_"))

        def call(**arguments: Any) -> Any:
            for left in reversed(range(self._tries)):
                try:
                    return self._send(operation, lambda: getattr(self._fake(), method)(**arguments))
                except ReadTimeoutError:
                    if not left:
                        raise
            raise AssertionError("unreachable: the last try returned or raised")

        return call

    def _send(self, operation: str, effect: Callable[[], Any]) -> Any:
        request = SimpleNamespace(url=f"https://{self._service}.example")
        answers = self.meta.events.emit(
            f"before-send.{self._service}.{operation}", request=request, effect=effect
        )
        return next(answer for _, answer in answers if answer is not None)
