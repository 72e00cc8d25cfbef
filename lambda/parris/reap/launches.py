"""Lambda and Logs: launches as the reap function sees them, begun anew or failed."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ..aws.told import told_key
from ..aws.topic import Notifier
from ..errors import ParrisError
from ..events.router import is_relaunch
from ..runs import messages_of_ends as messages

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient


_NAMES = {"event-id", "traceid", "window", "sequencer", "deviceEvent"}
"""Keys of which each names an event (docs/contracts.md, "Events")."""

_SOURCES = ("event-id", "topic", "data-trigger")
"""Keys by which whoever set an event off knows it again (scripts/deployment/fired.py)."""


@dataclass(frozen=True, kw_only=True)
class Launches:
    """The launch function, from outside."""

    functions: Callable[[], LambdaClient]
    logs: CloudWatchLogsClient
    function_arn: str
    iot_log_group: str

    def start(self, event: Mapping[str, Any]) -> None:
        """Send `event` to the launch function, as its own source did."""
        self.functions().invoke(
            FunctionName=self.function_arn,
            InvocationType="Event",
            Payload=json.dumps(event).encode(),
        )

    def tell_of_failure(self, record: Mapping[str, Any], notifier: Notifier) -> dict[str, Any]:
        """Notify of an event that the launch function refused, once for all its deliveries.

        Args:
            record: what Lambda sends to a destination on failure (Lambda developer guide,
                "Capturing records of Lambda asynchronous invocations").
        """
        event = record["requestPayload"]
        if is_relaunch(event):  # the next sweep asks again, until the run's deadline
            log.warning("not relaunched yet: %s", record.get("responsePayload"))
            return {"not-relaunched": event.get("run-id")}
        said = record.get("responsePayload") or {}
        context = record.get("requestContext") or {}
        error = said.get("errorMessage") or f"the function gave up: {context.get('condition')}"
        if isinstance(event, dict) and event.get("rule") in ("button", "device"):
            self._write_to_iot_log(str(error), event)
        # One event may be refused again for another reason, which is worth another message; one
        # without a name of its own is known by its invocation, which a retry keeps.
        named = isinstance(event, dict) and not _NAMES.isdisjoint(event)
        identity = json.dumps([event, error, None if named else context.get("requestId")])
        digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
        told = messages.failed(event, str(error), str(said.get("errorType", "")))
        key = told_key(told.job, digest, "launch-failed")
        mark = {"reason": str(error), "event": _names(event)}
        new, before = notifier.tell(key, lambda: told, mark)
        if not new and not before:
            raise ParrisError(f"the refusal {error!r} could not be told of; Lambda tries again")
        return {"launch-failed": told.job, "duplicate": not new}

    def _write_to_iot_log(self, error: str, event: Mapping[str, Any]) -> None:
        """Say why a message started nothing where the topic rules' own errors are."""
        group, stream = self.iot_log_group, "launch"
        line = {"topic": event.get("topic"), "traceid": event.get("traceid"), "error": error}
        try:
            self.logs.create_log_stream(logGroupName=group, logStreamName=stream)
        except ClientError as problem:
            if problem.response["Error"]["Code"] != "ResourceAlreadyExistsException":
                raise
        self.logs.put_log_events(
            logGroupName=group,
            logStreamName=stream,
            logEvents=[{"timestamp": int(time.time() * 1000), "message": json.dumps(line)}],
        )


def _names(event: object) -> dict[str, str]:
    given = event if isinstance(event, dict) else {}
    return {key: given[key] for key in _SOURCES if isinstance(given.get(key), str)}
