"""Calls that fail, before their effect or after it: the fault ``failing`` of faults.py.

A call is chosen by what it asks for and by the clock, so that its retries fail as well, and whoever
made it is told. The machines' own calls are left alone unless their role is meant.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id

from scripts.local import faults
from scripts.local.authorizations import name_of

_TOGETHER = 20
"""Seconds in which a call fails with all its retries."""

_KEY = re.compile(r"Credential=([^/]+)/")
_SPARED = ("logs", "sts", "iam")
_FAILED = (500, {"Content-Type": "application/xml"}, b"")

_logger = logging.getLogger("faults")

Handler = Callable[..., Awaitable[Any]]


def register() -> None:
    """Put the fault before every service."""
    from ministack import app

    for service, handler in list(app.SERVICE_HANDLERS.items()):
        if service not in _SPARED:
            app.SERVICE_HANDLERS[service] = _failing(service, handler)


def _failing(service: str, handler: Handler) -> Handler:
    async def handle(method: str, path: str, headers: Any, body: Any, query: Any) -> Any:
        part, roles = faults.failing()
        if not part or not fnmatchcase(role_of(headers), roles):
            return await handler(method, path, headers, body, query)
        window = int(time.time()) // _TOGETHER
        asked = f"{service} {method} {path} {query} {window}".encode() + bytes(body or b"")
        digest = hashlib.sha256(asked).digest()
        fails = int.from_bytes(digest[:4], "big") < part * 2**32
        if fails:
            _logger.warning("a call to %s fails, by the fault failing", service)
        if fails and digest[4] % 2:
            return _FAILED
        answer = await handler(method, path, headers, body, query)
        return _FAILED if fails else answer

    return handle


def role_of(headers: Any) -> str:
    """Return the name of the role that makes a call; "" if none does."""
    given = {str(name).lower(): value for name, value in dict(headers).items()}
    key = _KEY.search(str(given.get("authorization", "")))
    caller = iam_evaluator.resolve_principal(key[1] if key else "", get_account_id())
    if not isinstance(caller, iam_evaluator.PrincipalInfo):
        return ""
    kind, _, name = name_of(caller.arn).partition("/")
    return name if kind == "role" else ""
