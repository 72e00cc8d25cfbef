"""CloudFormation: what the events of a stack say of its end, or of what could not be made."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from ..contract import EndedBy
from .stacks import TOKEN_PREFIX

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient


def deleter(token: str) -> str:
    """Return who deleted a stack, by the token of the deletion: "somebody" if not Parris."""
    who = token.removeprefix(TOKEN_PREFIX)
    if who == token:
        return EndedBy.SOMEBODY
    # The schedule's token is in training-stack.yaml, and ends in the run's id.
    return EndedBy.SCHEDULE if who.startswith("schedule-") else who.rpartition("-")[0]


def last_deletion(
    cloudformation: CloudFormationClient, stack_id: str
) -> tuple[str, datetime] | None:
    """Return who deleted a stack last, and when; None if CloudFormation no longer knows.

    It keeps the events of a deleted stack for 90 days.
    """
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id)
    try:
        asked = next(
            event
            for page in pages
            for event in page["StackEvents"]  # newest first
            if event["ResourceStatus"] == "DELETE_IN_PROGRESS"
            and event["PhysicalResourceId"] == stack_id
        )
    except StopIteration:
        return None
    except ClientError as error:
        if "does not exist" not in error.response["Error"]["Message"]:
            raise
        return None
    return deleter(asked.get("ClientRequestToken", "")), asked["Timestamp"]


def first_failure(cloudformation: CloudFormationClient, stack_id: str) -> str:
    """Return CloudFormation's own reason for what failed last: that of the first resource.

    "" if there is none. What failed in an earlier creation or update of the stack does not count.
    """
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id)
    first = ""
    for event in (event for page in pages for event in page["StackEvents"]):  # newest first
        status = event["ResourceStatus"]
        if status.endswith("_FAILED"):
            first = f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
        began = status in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")
        if began and event["PhysicalResourceId"] == stack_id:
            break
    return first


def last_failed_deletion(cloudformation: CloudFormationClient, stack_id: str) -> str:
    """Return why the newest resource that could not be deleted was not; "" if none."""
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id)
    failures = (
        f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
        for page in pages
        for event in page["StackEvents"]  # newest first
        # The stack's own event only lists the resources that failed.
        if event["ResourceStatus"] == "DELETE_FAILED" and event["PhysicalResourceId"] != stack_id
    )
    return next(failures, "")
