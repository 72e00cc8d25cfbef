"""What a job names of the account, asked as `make upload-config` asks, against moto's EC2."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws

from parris.jobs.config import read_config
from scripts.deployment.outputs import Deployment
from scripts.jobs import uploads
from scripts.jobs.account_check import check_account, problems_here

ORIGINAL = {
    "training-job-name": "Test-Training-Job",
    "cloudformation_template_filename": "cloudformation.json",
    "termination-method": "at-fixed-time",
    "time-limit": 10,
    "cost-limit": 300,
    "instance-type": "t2.micro",
    "instance-iam-role-name": "s3Full",
    "security-group-id": "sg-2ff91848",
    "subnet-id": "subnet-634f5c06",
    "ec2-keypair-name": "Oregon-Key-Pair",
}
"""What the configuration of the original Parris says."""


class Ec2:
    """moto's EC2, but that some calls fail as `errors` says."""

    def __init__(self, ec2: Any) -> None:
        self._ec2, self.errors = ec2, dict[str, Exception]()

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            if name in self.errors:
                raise self.errors[name]
            return getattr(self._ec2, name)(**arguments)

        return call


@pytest.fixture
def ec2() -> Iterator[Ec2]:
    with mock_aws():
        yield Ec2(
            boto3.client(
                "ec2",
                region_name="us-east-1",
                aws_access_key_id="testing",
                aws_secret_access_key="testing",
            )
        )


def deployment(ec2: Ec2) -> Deployment:
    made = SimpleNamespace(
        client=lambda _: ec2, region="us-east-1", instance_profiles=["parris-instance", "extra"]
    )
    return cast("Deployment", made)


def check(ec2: Ec2, config: dict[str, Any]) -> tuple[list[str], list[str]]:
    return check_account(deployment(ec2), read_config(json.dumps(config), "test"))


def error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Call")


def test_everything_that_the_account_lacks_is_said_at_once_with_a_way_out(ec2: Ec2) -> None:
    problems, unasked = check(ec2, ORIGINAL)
    assert unasked == []
    named = [problem.partition(":")[0] for problem in problems]
    assert named == [
        *("instance-iam-role-name", "subnet-id", "security-group-id", "ec2-keypair-name"),
    ]
    assert all("leave the key out for" in problem for problem in problems)
    assert '"s3Full" is not one of parris-instance, extra' in problems[0]
    assert "instance_role_names" in problems[0]


def test_what_the_account_has_is_no_problem(ec2: Ec2) -> None:
    subnet = ec2.describe_subnets()["Subnets"][0]
    filters = [{"Name": "vpc-id", "Values": [subnet["VpcId"]]}]
    group = ec2.describe_security_groups(Filters=filters)["SecurityGroups"][0]
    ec2.create_key_pair(KeyName="mine")
    config = {
        "instance-iam-role-name": "extra",
        "subnet-id": subnet["SubnetId"],
        "security-group-id": group["GroupId"],
        "ec2-keypair-name": "mine",
    }
    assert check(ec2, config) == ([], [])
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    made = ec2.create_security_group(GroupName="g", Description="g", VpcId=vpc)
    ((problem,), _) = check(ec2, {**config, "security-group-id": made["GroupId"]})
    assert f"security-group-id {made['GroupId']} is in {vpc}: all must be in one VPC" in problem


def test_a_type_that_ec2_does_not_know_is_named_with_the_nearest(ec2: Ec2) -> None:
    ec2.errors["describe_instance_types"] = error("InvalidInstanceType")
    ((problem,), _) = check(ec2, {"instance-type": "t3.mediun"})
    assert problem.startswith('instance-type: "t3.mediun": no')
    assert problem.endswith("; did you mean t3.medium?")
    ((problem,), _) = check(ec2, {"instance-type": "t2.micro"})
    assert problem.endswith("but not in us-east-1")


def test_a_type_that_no_price_list_has_yet_is_ec2s_to_judge(ec2: Ec2) -> None:
    ec2.errors.clear()
    config = read_config('{"instance-type": "x99.large"}', "test")
    assert problems_here(config)[0].startswith('instance-type: "x99.large" is not in the price')
    known = SimpleNamespace(describe_instance_types=lambda **_: {"InstanceTypes": [{}]})
    assert check_account(deployment(cast("Ec2", known)), config) == ([], [])


def test_what_nobody_may_ask_is_a_note_and_what_is_wrong_still_said(ec2: Ec2) -> None:
    for name in ("describe_subnets", "describe_key_pairs"):
        ec2.errors[name] = error("UnauthorizedOperation")
    problems, unasked = check(ec2, ORIGINAL)
    assert [problem.partition(":")[0] for problem in problems] == [
        "instance-iam-role-name",
        "security-group-id",
    ]
    assert [note.partition(":")[0] for note in unasked] == ["subnet-id", "ec2-keypair-name"]


def test_faults_in_the_files_are_told_though_the_account_does_not_answer(
    ec2: Ec2, tmp_path: Path
) -> None:
    failed = EndpointConnectionError(endpoint_url="https://nowhere")
    ec2.errors["describe_instance_types"] = failed
    (tmp_path / "training-config.json").write_text(json.dumps(ORIGINAL))
    chosen = {"mine": tmp_path}
    problems, _ = uploads.check(deployment(ec2), chosen)
    assert "there is no file trainer-script.sh beside it" in problems[0]
    (tmp_path / "trainer-script.sh").write_text("#!/bin/bash\ntrain\npoweroff now\n")
    with pytest.raises(EndpointConnectionError):
        uploads.check(deployment(ec2), chosen)


def test_a_scripts_own_power_off_is_named_with_its_line_and_no_fault(
    ec2: Ec2, tmp_path: Path
) -> None:
    (tmp_path / "training-config.json").write_text("{}")
    (tmp_path / "trainer-script.sh").write_text("#!/bin/bash\ntrain\npoweroff now\n")
    problems, notes = uploads.check(deployment(ec2), {"mine": tmp_path})
    assert problems == []
    (note,) = notes
    assert "trainer-script.sh, line 3: `poweroff now` is not needed" in note
    (tmp_path / "trainer-script.sh").write_text("#!/bin/bash\ntrain\n")
    assert uploads.check(deployment(ec2), {"mine": tmp_path}) == ([], [])


def test_without_a_deployment_a_type_is_looked_up_in_the_price_list(tmp_path: Path) -> None:
    (tmp_path / "training-config.json").write_text('{"instance-type": "t3.mediun"}')
    (tmp_path / "trainer-script.sh").write_text("#!/bin/bash\ntrain\n")
    ((problem,), _) = uploads.check(None, {"mine": tmp_path})
    assert problem.endswith("; did you mean t3.medium?")
