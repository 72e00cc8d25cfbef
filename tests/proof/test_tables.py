"""The tables themselves, without a deployment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.proof import authorization, handlers, known
from tests.proof.table import Table, read_tables


def test_the_extract_of_the_reference_has_every_action_of_the_tables() -> None:
    assert set(authorization.read()["actions"]) == authorization.named()


def test_a_permission_that_a_schema_names_is_missed_unless_its_property_is_not_used(
    tmp_path: Path,
) -> None:
    data = tmp_path / "handlers.json"
    kind = "AWS::EC2::Instance"
    data.write_text(
        json.dumps(
            {
                "handlers": {
                    kind: {"create": ["ec2:RunInstances", "ec2:New", "ec2:AttachVolume"]},
                    "AWS::EC2::VPC": {"create": ["ec2:CreateVpc"]},
                },
                "only-with": {
                    kind: {"ec2:AttachVolume": ["Volumes"], "ec2:RunInstances": ["LaunchTemplate"]}
                },
            }
        )
    )
    said = list(handlers.problems(read_tables()["stack"], data))
    assert said == ["stack: its table lacks ec2:New, which a resource type's schema names"]


@pytest.mark.parametrize(
    ("resource", "has"),
    [
        ("arn:aws:ec2:us-east-1::image/ami-0", {"ec2:Owner"}),
        ("arn:aws:ec2:us-east-1:000000000000:instance/i-0", {"ec2:InstanceType"}),
        ("arn:aws:ec2:us-east-1:000000000000:volume/vol-0", {"ec2:VolumeSize"}),
        ("arn:aws:ec2:us-east-1:000000000000:key-pair/mine", set()),
    ],
)
def test_a_key_is_of_the_resource_that_aws_gives_it_to(resource: str, has: set[str]) -> None:
    reference = authorization.read()
    asked = {"ec2:Owner", "ec2:InstanceType", "ec2:VolumeSize"}
    action = "ec2:RunInstances"
    assert {key for key in asked if known.has_key(action, key, reference, resource)} == has


def test_every_table_says_of_each_row_where_it_comes_from() -> None:
    tables = read_tables().values()
    assert all(call.source for table in tables for call in (*table.needs, *table.refusals))


def test_every_table_refuses_something() -> None:
    def names(tables: dict[str, Table]) -> list[str]:
        return [name for name, table in tables.items() if not table.refusals]

    assert names(read_tables()) == []
