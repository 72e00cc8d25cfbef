"""The CloudWatch Logs action of an IoT rule, with the rights of its role.

Stands in for the action ("CloudWatch Logs", AWS IoT developer guide: the role must allow
logs:CreateLogStream, logs:DescribeLogStreams and logs:PutLogEvents), which MiniStack skips. It is
how a rule's error action says why a message could not be handed over.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Coroutine
from typing import Any

from ministack.services import cloudwatch_logs, iam, iot

from scripts.local import roles
from scripts.local.authorization import demand, session_arn

_Dispatch = Callable[[str, str, str, dict[str, Any], Any], Coroutine[Any, Any, None]]
_SERVICE = "iot.amazonaws.com"


class _Undeliverable(Exception):
    """An action that AWS IoT cannot do; the text says why."""


def register() -> None:
    """Do the action where a rule has it."""
    iot._dispatch_rule_action = _with_logs(iot._dispatch_rule_action)


def _with_logs(dispatch: _Dispatch) -> _Dispatch:
    async def dispatched(
        account: str, region: str, rule: str, action: dict[str, Any], event: Any
    ) -> None:
        if settings := action.get("cloudwatchLogs"):
            _write(account, region, rule, settings, event)
        else:
            await dispatch(account, region, rule, action, event)

    return dispatched


def _write(account: str, region: str, rule: str, settings: dict[str, Any], event: Any) -> None:
    """Write the event into the group, in a stream named after the rule.

    Raises:
        _Undeliverable: if IoT cannot take the role on, or there is no such group.
        Denied: if the role does not allow it.
    """
    arn, name = settings["roleArn"], settings["logGroupName"]
    role = iam._roles.get(arn.rpartition("/")[2])
    if role is None or not roles.trusts(role, _SERVICE):
        raise _Undeliverable(f"AWS IoT cannot assume the role {arn}")
    principal = session_arn(arn, rule)
    group = f"arn:aws:logs:{region}:{account}:log-group:{name}"
    for action, resource in (
        ("logs:DescribeLogStreams", f"{group}:*"),
        ("logs:CreateLogStream", f"{group}:*"),
        ("logs:PutLogEvents", f"{group}:log-stream:{rule}"),
    ):
        demand(principal, action, resource, {})
    stream = {"logGroupName": name, "logStreamName": rule}
    cloudwatch_logs._create_log_stream(stream)  # or it is there
    line = {"timestamp": int(time.time() * 1000), "message": json.dumps(event)}
    answer = cloudwatch_logs._put_log_events({**stream, "logEvents": [line]})
    if answer[0] != 200:
        raise _Undeliverable(answer[2].decode())
