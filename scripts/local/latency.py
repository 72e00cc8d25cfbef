"""No answer comes sooner than one could over a network.

Terraform's provider, or Go's HTTP client in it, drops the connection where an answer arrives before
it has put its own request away, and then sends the request again. Within one busy machine that
happens to some in a thousand calls. A second AddPermission is refused with a
ResourceConflictException for good (Lambda API reference), and the apply with it. Over the network
of AWS an answer takes milliseconds.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

LEAST_SECONDS = 0.01


def delayed(app: Any) -> Any:
    """Return an ASGI `app` whose answers wait until LEAST_SECONDS after the whole request came."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        due = time.monotonic() + LEAST_SECONDS

        async def noted() -> Any:
            nonlocal due
            message = await receive()
            due = time.monotonic() + LEAST_SECONDS
            return message

        async def later(message: Any) -> None:
            if message["type"] == "http.response.start":
                await asyncio.sleep(due - time.monotonic())
            await send(message)

        await app(scope, noted, later)

    return answer
