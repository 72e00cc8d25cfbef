"""Why a stack failed, by its events."""

from __future__ import annotations

from typing import Any

from parris.aws.stack_events import first_failure

STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/one/1"


class CloudFormation:
    """DescribeStackEvents: newest first, two a page."""

    def __init__(self, *events: tuple[str, str, str]) -> None:
        newest = [
            {
                "LogicalResourceId": name,
                "PhysicalResourceId": STACK if name == "one" else f"{name}-1",
                "ResourceStatus": status,
                **({"ResourceStatusReason": reason} if reason else {}),
            }
            for name, status, reason in reversed(events)
        ]
        self.pages = [{"StackEvents": newest[at : at + 2]} for at in range(0, len(newest), 2)]

    def get_paginator(self, _name: str) -> Any:
        return self

    def paginate(self, **_: Any) -> Any:
        return iter(self.pages)


MADE = (("one", "CREATE_IN_PROGRESS", ""), ("one", "CREATE_COMPLETE", ""))
FAILED = (
    ("one", "UPDATE_IN_PROGRESS", ""),
    ("Machine", "UPDATE_IN_PROGRESS", ""),
    ("Machine", "UPDATE_FAILED", "no capacity"),
    ("Schedule", "UPDATE_FAILED", "Resource update cancelled"),
    ("one", "UPDATE_ROLLBACK_IN_PROGRESS", "The following resource(s) failed to update"),
    ("one", "UPDATE_ROLLBACK_COMPLETE", ""),
)


def test_the_resource_that_failed_first_has_the_reason() -> None:
    client: Any = CloudFormation(*MADE, *FAILED)
    assert first_failure(client, STACK) == "Machine: no capacity"


def test_what_failed_in_an_earlier_update_is_not_why_this_one_did() -> None:
    second = [
        (name, status, reason.replace("no capacity", "quota")) for name, status, reason in FAILED
    ]
    client: Any = CloudFormation(*MADE, *FAILED, *second)
    assert first_failure(client, STACK) == "Machine: quota"


def test_a_stack_that_did_not_fail_has_no_reason() -> None:
    client: Any = CloudFormation(*MADE)
    assert first_failure(client, STACK) == ""
