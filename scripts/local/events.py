"""Events that AWS puts on the default bus by itself and MiniStack does not.

"EC2 Instance State-change Notification" ("State change events for your instances", EC2 user guide)
and "CloudFormation Stack Status Change" ("CloudFormation event types", CloudFormation user guide).
"""

from __future__ import annotations

import json
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge
from ministack.services.cloudformation import changesets, handlers, stacks, wait_conditions

_STACK = "AWS::CloudFormation::Stack"


def put(source: str, kind: str, resource: str, detail: dict[str, Any]) -> None:
    """Put one event of an AWS service on the default bus."""
    entry = {
        "Source": source,
        "DetailType": kind,
        "Resources": [resource],
        "Detail": json.dumps(detail),
    }
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def instance_state(instance_id: str, state: str) -> None:
    """Tell the bus that an instance has changed its state."""
    arn = f"arn:aws:ec2:{get_region()}:{get_account_id()}:instance/{instance_id}"
    detail = {"instance-id": instance_id, "state": state}
    put("aws.ec2", "EC2 Instance State-change Notification", arn, detail)


def register() -> None:
    """Make every stack event that concerns the stack itself reach the bus."""
    record_event = stacks._add_event

    def add_event(
        stack_id: str,
        stack_name: str,
        logical_id: str,
        resource_type: str,
        status: str,
        reason: str = "",
        physical_id: str = "",
        detailed_status: str = "",
    ) -> None:
        record_event(
            stack_id,
            stack_name,
            logical_id,
            resource_type,
            status,
            reason,
            physical_id,
            detailed_status,
        )
        # A nested stack is a resource too, but of another name than its parent's.
        if resource_type == _STACK and logical_id == stack_name:
            detail = {
                "stack-id": stack_id,
                "status-details": {"status": status, "status-reason": reason},
                "client-request-token": stacks.CLIENT_REQUEST_TOKEN.get(),
            }
            put("aws.cloudformation", "CloudFormation Stack Status Change", stack_id, detail)

    for module in (stacks, handlers, changesets, wait_conditions):
        if hasattr(module, "_add_event"):  # some import it only when they need it
            module._add_event = add_event
