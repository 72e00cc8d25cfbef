"""EventBridge Scheduler's universal targets: a schedule that calls any API operation.

Stands in for targets ``arn:aws:scheduler:::aws-sdk:<service>:<action>`` ("Using universal targets"
and "Adding context attributes", EventBridge Scheduler user guide; "RetryPolicy", its API
reference). The call is a real one, with boto3, with the credentials of the schedule's role.
Failed calls are tried again whatever their reason, with a backoff that starts at a second; there
is no dead-letter queue.
"""

from __future__ import annotations

import datetime
import json
import logging
import threading
import time
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from ministack.core.concurrency import spawn_background
from ministack.core.responses import get_region, new_uuid
from ministack.services import eventbridge, iam

from scripts.local import faults, roles

PREFIX = "arn:aws:scheduler:::aws-sdk:"

_DEFAULT_ATTEMPTS = 185
_DEFAULT_AGE_SECONDS = 86400
_LONGEST_PAUSE_SECONDS = 60.0
_SESSION_SECONDS = 3600

logger = logging.getLogger("scheduler")
_endpoint = ""
_session = boto3.Session()
_making_clients = threading.Lock()


class _Undeliverable(Exception):
    """A target that Scheduler cannot call; the text says why."""


def register(endpoint: str) -> None:
    """Deliver to universal targets by calling the cloud at `endpoint`."""
    global _endpoint
    _endpoint = endpoint
    invoke = eventbridge._invoke_target

    def invoke_target(
        target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None
    ) -> None:
        if target.get("Arn", "").startswith(PREFIX) or _is_function_of_schedule(target, event):
            region = get_region()
            spawn_background(_deliver, target, rule, region, thread_name=f"schedule-{rule['Name']}")
        else:
            invoke(target, event, rule, view)

    eventbridge._invoke_target = invoke_target


def _deliver(target: dict[str, Any], schedule: dict[str, Any], region: str) -> None:
    """Call the target until it takes the call, or RetryPolicy gives up."""
    policy = target.get("RetryPolicy") or {}
    attempts = 1 + int(policy.get("MaximumRetryAttempts", _DEFAULT_ATTEMPTS))
    age = int(policy.get("MaximumEventAgeInSeconds", _DEFAULT_AGE_SECONDS))
    until = time.monotonic() + age
    execution, due = new_uuid(), datetime.datetime.now(datetime.UTC)
    name, pause = schedule["Name"], 1.0
    for attempt in range(1, attempts + 1):
        context = {
            "<aws.scheduler.schedule-arn>": schedule["Arn"],
            "<aws.scheduler.scheduled-time>": due.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "<aws.scheduler.execution-id>": execution,
            "<aws.scheduler.attempt-number>": str(attempt),
        }
        try:
            _call(target, region, context)
        except (ClientError, BotoCoreError, _Undeliverable) as error:
            logger.warning("schedule %s, attempt %d of %d: %s", name, attempt, attempts, error)
        else:
            logger.info("schedule %s: %s called", name, target["Arn"])
            return
        if attempt == attempts or time.monotonic() + pause > until:
            break
        time.sleep(pause)
        while faults.scheduler_is_down():
            time.sleep(1)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
    logger.error("schedule %s: given up after %d attempts", name, attempt)


def _call(target: dict[str, Any], region: str, context: dict[str, str]) -> None:
    """Make one call with a new session of the target's role."""
    text = target.get("Input") or "{}"
    for attribute, value in context.items():
        text = text.replace(attribute, value)
    role = iam._roles.get(target["RoleArn"].rpartition("/")[2])
    source = context["<aws.scheduler.schedule-arn>"]
    if role is None or not roles.trusts(role, "scheduler.amazonaws.com", source):
        raise _Undeliverable(f"Scheduler cannot assume the role {target['RoleArn']}")
    credentials = roles.assume(role, new_uuid().replace("-", ""), _SESSION_SECONDS)
    if not target["Arn"].startswith(PREFIX):
        functions = _client("lambda", region, credentials)
        functions.invoke(FunctionName=target["Arn"], InvocationType="Event", Payload=text)
        return
    service, _, action = target["Arn"].removeprefix(PREFIX).partition(":")
    client = _client(service, region, credentials)
    operations = {api.lower(): method for method, api in client.meta.method_to_api_mapping.items()}
    if action.lower() not in operations:
        raise _Undeliverable(f"{service} has no operation {action}")
    try:
        arguments = json.loads(text)
    except ValueError as error:
        raise _Undeliverable(f"Input is not JSON: {error}") from error
    getattr(client, operations[action.lower()])(**arguments)


def _is_function_of_schedule(target: dict[str, Any], event: dict[str, Any]) -> bool:
    """Return whether Scheduler, not a rule of EventBridge, invokes a function."""
    return event.get("Source") == "aws.scheduler" and ":lambda:" in target.get("Arn", "")


def _client(service: Any, region: str, credentials: dict[str, str]) -> Any:
    with _making_clients:  # a session is not for several threads at once
        return _session.client(
            service,
            endpoint_url=_endpoint,
            region_name=region,
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["Token"],
            config=Config(retries={"total_max_attempts": 1}, proxies={}),
        )
