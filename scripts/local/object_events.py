"""The version in S3's events on EventBridge, which MiniStack leaves out.

AWS sends ``detail.object.version-id`` for a bucket with versioning (S3 user guide, "EventBridge
event message structure").
"""

from __future__ import annotations

import contextvars
import json
from typing import Any

from ministack.services import eventbridge, s3

_version: contextvars.ContextVar[str | None] = contextvars.ContextVar("version", default=None)


def register() -> None:
    """Let the version that an event is about reach the bus with it."""
    fire, dispatch = s3._fire_s3_event, eventbridge._dispatch_event

    def firing(*arguments: Any, version_id: str | None = None, **named: Any) -> None:
        _version.set(version_id)  # each event has a thread and a context of its own
        fire(*arguments, version_id=version_id, **named)

    def dispatching(event: dict[str, Any], *arguments: Any, **named: Any) -> Any:
        version = _version.get()
        if event["Source"] == "aws.s3" and version:
            detail = json.loads(event["Detail"])
            detail["object"]["version-id"] = version
            event = {**event, "Detail": json.dumps(detail)}
        return dispatch(event, *arguments, **named)

    s3._fire_s3_event = firing
    eventbridge._dispatch_event = dispatching
