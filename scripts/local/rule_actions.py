"""The Lambda and CloudWatch Logs actions of an IoT rule, with the rights that they need.

Stands in for the second ("CloudWatch Logs", AWS IoT developer guide: the role must allow
logs:CreateLogStream, logs:DescribeLogStreams and logs:PutLogEvents), which MiniStack skips. It is
how a rule's error action says why a message could not be handed over. Of the first ("Lambda",
same guide: the function's own policy must let iot.amazonaws.com invoke it) for the permission only,
of which MiniStack does not ask; its words are the rules engine's in IAM's form.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Coroutine
from typing import Any

from ministack.core import iam_evaluator
from ministack.services import cloudwatch_logs, iam, iot, lambda_svc

from scripts.local import roles
from scripts.local.authorization import demand, session_arn

_Dispatch = Callable[[str, str, str, dict[str, Any], Any], Coroutine[Any, Any, None]]
_SERVICE = "iot.amazonaws.com"


class _Undeliverable(Exception):
    """An action that AWS IoT cannot do; the text says why."""


def register() -> None:
    """Do these actions where a rule has them."""
    iot._dispatch_rule_action = _with_rights(iot._dispatch_rule_action)


def _with_rights(dispatch: _Dispatch) -> _Dispatch:
    async def dispatched(
        account: str, region: str, rule: str, action: dict[str, Any], event: Any
    ) -> None:
        if settings := action.get("cloudwatchLogs"):
            _write(account, region, rule, settings, event)
            return
        if settings := action.get("lambda"):
            _check_permission(account, region, rule, settings["functionArn"])
        await dispatch(account, region, rule, action, event)

    return dispatched


def _check_permission(account: str, region: str, rule: str, function: str) -> None:
    """Ask the policy of a function whether a rule may invoke it.

    Raises:
        _Undeliverable: if it may not.
    """
    source = f"arn:aws:iot:{region}:{account}:rule/{rule}"
    request = iam_evaluator.EvalContext(
        principal_arn=_SERVICE,
        principal_type="Service",
        principal_account="",
        action="lambda:InvokeFunction",
        resource_arn=function,
        region=region,
        service_context={"aws:sourcearn": source, "aws:sourceaccount": account},
    )
    policy, _ = lambda_svc.function_policy_for_arn(function) or (None, "")
    said = iam_evaluator.evaluate_resource_policy(policy, request, _SERVICE)
    if said.decision != "Allow":
        raise _Undeliverable(
            f"{_SERVICE} is not authorized to perform: lambda:InvokeFunction on resource: "
            f"{function}, because no resource-based policy allows it for {source}"
        )


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
