"""The EC2 API's view of instances that really run.

Stands in, for those instances only, for parts of DescribeInstances, DescribeInstanceAttribute,
StartInstances, StopInstances and TerminateInstances that MiniStack answers from its records alone,
and for GetConsoleOutput, which it lacks (all: EC2 API reference).
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from html import escape
from typing import Any

from ministack.services import ec2

from scripts.local import instances

Parameters = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]
Action = Callable[[Parameters], Answer]

_CONSOLE_BYTES = 64 * 1024


def register() -> None:
    """Put these actions before MiniStack's own."""
    actions = ec2._ACTION_MAP
    actions["GetConsoleOutput"] = _get_console_output
    actions["DescribeInstanceAttribute"] = _describe_attribute(actions["DescribeInstanceAttribute"])
    for name, change in (
        ("StartInstances", _start),
        ("StopInstances", _stop),
        ("TerminateInstances", _terminate),
    ):
        actions[name] = _change_states(name, actions[name], change)
    ec2._instance_xml = _instance_xml(ec2._instance_xml)


class _Refused(Exception):
    """An EC2 error: code and message."""


def _start(record: Parameters) -> None:
    if record["State"]["Name"] == "running":
        return
    if record["State"]["Name"] != "stopped":
        raise _Refused(
            "IncorrectInstanceState",
            f"The instance '{record['InstanceId']}' is not in a state from which it can be "
            "started.",
        )
    instances.start(record)


def _stop(record: Parameters) -> None:
    if record["State"]["Name"] in ("terminated", "shutting-down"):
        raise _Refused(
            "IncorrectInstanceState",
            f"The instance '{record['InstanceId']}' is not in a state from which it can be "
            "stopped.",
        )
    instances.end(record, "stopping", "stopped", instances.STOP_GRACE_SECONDS)


def _terminate(record: Parameters) -> None:
    if record["DisableApiTermination"]:
        raise _Refused(
            "OperationNotPermitted",
            f"The instance '{record['InstanceId']}' may not be terminated. Modify its "
            "'disableApiTermination' instance attribute and try again.",
        )
    instances.end(record, "shutting-down", "terminated", instances.TERMINATE_GRACE_SECONDS)


def _change_states(name: str, original: Action, change: Callable[[Parameters], None]) -> Action:
    """Return an action that changes our instances by `change` and the others as before."""

    def action(parameters: Parameters) -> Answer:
        ids = ec2._parse_member_list(parameters, "InstanceId")
        known = [identifier for identifier in ids if identifier in ec2._instances]
        if known != ids or not any(map(instances.is_ours, ids)):
            return original(parameters)
        items = []
        for identifier in ids:
            record = ec2._instances[identifier]
            before = dict(record["State"])
            if instances.is_ours(identifier):
                try:
                    change(record)
                except _Refused as refusal:
                    return ec2._error(*refusal.args, 400)  # type: ignore[no-any-return]
            else:
                original({"InstanceId.1": [identifier]})
            after = record["State"]
            items.append(
                f"<item><instanceId>{identifier}</instanceId>"
                f"<previousState><code>{before['Code']}</code><name>{before['Name']}</name>"
                "</previousState>"
                f"<currentState><code>{after['Code']}</code><name>{after['Name']}</name>"
                "</currentState></item>"
            )
        inner = f"<instancesSet>{''.join(items)}</instancesSet>"
        return ec2._xml(200, f"{name}Response", inner)  # type: ignore[no-any-return]

    return action


def _get_console_output(parameters: Parameters) -> Answer:
    identifier = ec2._p(parameters, "InstanceId")
    if identifier not in ec2._instances:
        message = f"The instance ID '{identifier}' does not exist"
        return ec2._error("InvalidInstanceID.NotFound", message, 400)  # type: ignore[no-any-return]
    log = instances.directory(identifier) / "console.log"
    text = log.read_bytes()[-_CONSOLE_BYTES:] if log.exists() else b""
    inner = (
        f"<instanceId>{identifier}</instanceId><timestamp>{ec2._now_ts()}</timestamp>"
        f"<output>{base64.b64encode(text).decode()}</output>"
    )
    return ec2._xml(200, "GetConsoleOutputResponse", inner)  # type: ignore[no-any-return]


def _describe_attribute(original: Action) -> Action:
    def action(parameters: Parameters) -> Answer:
        identifier = ec2._p(parameters, "InstanceId")
        attribute = ec2._p(parameters, "Attribute")
        record = ec2._instances.get(identifier)
        if record is None or not instances.is_ours(identifier):
            return original(parameters)
        values = {
            "userData": record["UserData"],
            "instanceInitiatedShutdownBehavior": record["InstanceInitiatedShutdownBehavior"],
            "disableApiTermination": str(record["DisableApiTermination"]).lower(),
            "instanceType": record["InstanceType"],
        }
        if attribute not in values:
            return original(parameters)
        value = values[attribute]
        inner = f"<value>{escape(value)}</value>" if value else ""
        inner = f"<instanceId>{identifier}</instanceId><{attribute}>{inner}</{attribute}>"
        name = "DescribeInstanceAttributeResponse"
        return ec2._xml(200, name, inner)  # type: ignore[no-any-return]

    return action


def _instance_xml(original: Callable[[Parameters], str]) -> Callable[[Parameters], str]:
    """Return DescribeInstances' item with the members that MiniStack leaves out."""

    def item(record: Parameters) -> str:
        more = [f"<reason>{escape(record.get('StateTransitionReason', ''))}</reason>"]
        if reason := record.get("StateReason"):
            more.append(
                f"<stateReason><code>{reason['Code']}</code>"
                f"<message>{escape(reason['Message'])}</message></stateReason>"
            )
        xml = original(record).rstrip().removesuffix("</item>")
        if group := record["Placement"].get("GroupName"):
            named = f"<placement><groupName>{escape(group)}</groupName>"
            xml = xml.replace("<placement>", named, 1)
        if "InstanceLifecycle" in record:
            more.append(f"<instanceLifecycle>{record['InstanceLifecycle']}</instanceLifecycle>")
            request = record["SpotInstanceRequestId"]
            more.append(f"<spotInstanceRequestId>{request}</spotInstanceRequestId>")
        if options := record.get("MetadataOptions"):
            members = "".join(
                f"<{name[0].lower()}{name[1:]}>{escape(str(value))}</{name[0].lower()}{name[1:]}>"
                for name, value in options.items()
            )
            more.append(f"<metadataOptions><state>applied</state>{members}</metadataOptions>")
        return xml + "".join(more) + "</item>"

    return item
