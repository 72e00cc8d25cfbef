"""What a configuration names of the account: is it there? Asked before anything is uploaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from parris.jobs.config import TrainingConfig
from parris.runs.plan import unknown_role
from scripts.deployment.outputs import Deployment
from scripts.jobs.price_table import PUBLISHED, nearest

_DENIED = ("UnauthorizedOperation", "AccessDenied")


def problems_here(config: TrainingConfig) -> list[str]:
    """Return what is wrong with a configuration as far as it can be told without an account."""
    suggestion = nearest(config.instance_type)
    if suggestion is None:
        return []
    return [
        f'instance-type: "{config.instance_type}" is not in the price list of {PUBLISHED[:10]}'
        f"{suggestion}"
    ]


def check_account(deployment: Deployment, config: TrainingConfig) -> tuple[list[str], list[str]]:
    """Return what a configuration names that the account has not, and what could not be asked.

    Role, subnet, security group, key pair and instance type, all of them: CloudFormation would
    name one a launch.
    """
    role = config.instance_profile
    problems = unknown_role(role, deployment.instance_profiles) if role else []
    unasked: list[str] = []
    found: dict[str, Any] = {}
    for key, value, ask in _questions(deployment, config):
        try:
            found[key] = ask()
        except ClientError as error:
            code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
            if code in _DENIED:
                unasked.append(f"{key}: AWS does not let these credentials ask ({code})")
            elif code.startswith("Invalid"):
                problems.append(f'{key}: "{value}": {message}{_cure(key, value, deployment)}')
            else:
                raise
    vpcs = {key: found[key] for key in ("subnet-id", "security-group-id") if key in found}
    if len(set(vpcs.values())) > 1:
        where = ", ".join(f"{key} is in {vpc}" for key, vpc in vpcs.items())
        problems.append(f"{where}: both must be in one VPC, or leave one of the keys out")
    return problems, unasked


def _questions(
    deployment: Deployment, config: TrainingConfig
) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """Yield key, value and a call that raises an ``Invalid…`` error if there is no such thing."""
    ec2 = deployment.client("ec2")
    kind, subnet, group = config.instance_type, config.subnet_id, config.security_group_id
    yield "instance-type", kind, lambda: ec2.describe_instance_types(InstanceTypes=[kind])
    if subnet:
        yield (
            "subnet-id",
            subnet,
            lambda: ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["VpcId"],
        )
    if group:
        yield (
            "security-group-id",
            group,
            lambda: ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["VpcId"],
        )
    if name := config.key_name:
        yield "ec2-keypair-name", name, lambda: ec2.describe_key_pairs(KeyNames=[name])


def _cure(key: str, value: str, deployment: Deployment) -> str:
    if key == "instance-type":
        return nearest(value) or f"; EC2 has it, but not in {deployment.region}"
    instead = {
        "subnet-id": "one of the default VPC",
        "security-group-id": "the VPC's default group",
        "ec2-keypair-name": "a machine without a key",
    }[key]
    return f"; leave the key out for {instead}, or name one of {deployment.region}"
