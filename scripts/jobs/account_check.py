"""What a configuration names of the account: is it there? Asked before anything is uploaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from parris.jobs.config import TrainingConfig
from parris.runs.plan import unknown_role
from scripts.deployment.outputs import Deployment
from scripts.jobs.price_table import PUBLISHED, nearest

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

_IN_A_VPC = ("subnet-id", "security-group-id")
DENIED = ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException")
"""Codes of errors with which AWS refuses to be asked."""


def problems_here(config: TrainingConfig) -> list[str]:
    """Return what is wrong with a configuration as far as it can be told without an account."""
    return [
        f'instance-type: "{kind}" is not in the price list of {PUBLISHED[:10]}{suggestion}'
        for kind in config.instance_types
        if (suggestion := nearest(kind)) is not None
    ]


def check_account(deployment: Deployment, config: TrainingConfig) -> tuple[list[str], list[str]]:
    """Return what a configuration names that the account has not, and what could not be asked.

    Role, subnet, security group, key pair and instance type, all of them: CloudFormation would
    name one a launch.
    """
    role = config.instance_profile
    problems = unknown_role(role, deployment.instance_profiles) if role else []
    unasked: list[str] = []
    vpcs: dict[str, str] = {}
    for key, value, ask in _questions(deployment, config):
        try:
            found = ask()
            if key in _IN_A_VPC:
                vpcs[f"{key} {value}"] = found
        except ClientError as error:
            code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
            if code in DENIED:
                unasked.append(f"{key}: AWS does not let these credentials ask ({code})")
            elif code.startswith("Invalid"):
                problems.append(f'{key}: "{value}": {message}{_cure(key, value, deployment)}')
            else:
                raise
    if len(set(vpcs.values())) > 1:
        where = ", ".join(f"{what} is in {vpc}" for what, vpc in vpcs.items())
        problems.append(f"{where}: all must be in one VPC, or leave the keys out")
    return problems, unasked


def _questions(
    deployment: Deployment, config: TrainingConfig
) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """Yield key, value and a call that raises an ``Invalid…`` error if there is no such thing."""
    ec2 = deployment.client("ec2")
    for kind in config.instance_types:
        yield "instance-type", kind, partial(ec2.describe_instance_types, InstanceTypes=[kind])
    for subnet in config.subnet_ids:
        yield "subnet-id", subnet, partial(_vpc_of_subnet, ec2, subnet)
    if group := config.security_group_id:
        yield (
            "security-group-id",
            group,
            lambda: ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["VpcId"],
        )
    if name := config.key_name:
        yield "ec2-keypair-name", name, lambda: ec2.describe_key_pairs(KeyNames=[name])


def _vpc_of_subnet(ec2: EC2Client, subnet: str) -> str:
    return ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["VpcId"]


def _cure(key: str, value: str, deployment: Deployment) -> str:
    if key == "instance-type":
        return nearest(value) or f"; EC2 has it, but not in {deployment.region}"
    instead = {
        "subnet-id": "one of the default VPC",
        "security-group-id": "the VPC's default group",
        "ec2-keypair-name": "a machine without a key",
    }[key]
    return f"; leave the key out for {instead}, or name one of {deployment.region}"
