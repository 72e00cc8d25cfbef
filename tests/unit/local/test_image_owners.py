"""The embedded cloud tells IAM whose image a launch boots, as EC2 does (``ec2:Owner``)."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.local import images, run_instances
from tests.proof.evaluate import allows, parse
from tests.proof.table import Call

OURS = "000000000000"
AMAZONS = "ami-0c2023a1b2c3d4e5f"
CANONICALS = "ami-0123456789abcdef0"
MADE_HERE = "ami-0f0f0f0f0f0f0f0f0"

EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def demanded(image: str) -> list[tuple[str, dict[str, Any]]]:
    """Return what RunInstances of an image is authorized on, with the condition keys of each."""
    request = {"ImageId": image, "InstanceType": "t3.micro"}
    found = run_instances.demands("ec2:RunInstances", request, "lt-0")
    return [(resource, context) for _, resource, context in found]


def refuse_all_but(owners: list[str]) -> dict[str, Any]:
    """Return the statement that allowed_image_owners adds to the stack role (platform.tf)."""
    return {
        "Effect": "Deny",
        "Action": "ec2:RunInstances",
        "Resource": "arn:aws:ec2:us-east-1::image/*",
        "Condition": {"StringNotEquals": {"ec2:Owner": owners}},
    }


@pytest.mark.parametrize(
    ("image", "owner"),
    [
        (AMAZONS, "amazon"),
        *((identifier, "amazon") for identifier, *_ in images._IMAGES.values()),
        (CANONICALS, "099720109477"),
        (MADE_HERE, OURS),
    ],
)
def test_a_launch_tells_whose_its_image_is_and_that_of_nothing_else(image: str, owner: str) -> None:
    owners = {resource: context.get("ec2:Owner") for resource, context in demanded(image)}
    assert owners.pop(f"arn:aws:ec2:us-east-1::image/{image}") == owner
    assert set(owners.values()) == {None}


@pytest.mark.parametrize(
    ("owners", "image", "allowed"),
    [
        (["amazon"], AMAZONS, True),
        (["amazon"], CANONICALS, False),
        (["amazon"], MADE_HERE, False),
        ([OURS], AMAZONS, False),
        ([OURS, "amazon"], MADE_HERE, True),
    ],
)
def test_images_of_allowed_owners_boot_and_no_others(
    owners: list[str], image: str, allowed: bool
) -> None:
    statements = parse({"Statement": [EVERYTHING, refuse_all_but(owners)]})
    calls = [
        Call(principal="stack", action="ec2:RunInstances", resource=on, context=context, source="")
        for on, context in demanded(image)
    ]
    assert all(allows(statements, call) for call in calls) == allowed
