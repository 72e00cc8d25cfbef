"""The roles and users of a clone, as tests take them on or take something from them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
import pytest

from tests.e2e.conftest import Clone


def role_name(role: str) -> str:
    """Return the name of the role of ``stack``, ``launch``, ``scheduler``, …"""
    return f"parris-{role}-us-east-1"


def role_arn(clone: Clone, role: str) -> str:
    return f"arn:aws:iam::{clone.outputs['account_id']}:role/{role_name(role)}"


def own_role(clone: Clone, name: str, service: str) -> str:
    """Make a role that may do anything, and that a service may assume; return its ARN."""
    iam = clone.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    anything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_document(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="anything", PolicyDocument=_document(anything))
    return str(arn)


def profile_of(clone: Clone, role: str) -> str:
    """Make an instance profile with a role, named as the role is; return its name."""
    iam = clone.client("iam")
    iam.create_instance_profile(InstanceProfileName=role)
    iam.add_role_to_instance_profile(InstanceProfileName=role, RoleName=role)
    return role


@contextmanager
def denied(clone: Clone, role: str, statement: Mapping[str, Any]) -> Iterator[None]:
    """Take from a role, for a while, what `statement` says: all but its Effect."""
    iam, name = clone.client("iam"), role_name(role)
    document = _document({"Effect": "Deny", **statement})
    iam.put_role_policy(RoleName=name, PolicyName="broken", PolicyDocument=document)
    try:
        yield
    finally:
        iam.delete_role_policy(RoleName=name, PolicyName="broken")


def client_of(clone: Clone, role: str, service: str) -> Any:
    """Return a client with the credentials of a session of a role that only services may assume."""
    iam, name = clone.client("iam"), role_name(role)
    trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    root = {"AWS": f"arn:aws:iam::{clone.outputs['account_id']}:root"}
    people = {"Effect": "Allow", "Principal": root, "Action": "sts:AssumeRole"}
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=_document(people))
    try:
        assumed = clone.client("sts").assume_role(
            RoleArn=role_arn(clone, role), RoleSessionName="fence"
        )["Credentials"]
    finally:
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
    keys = {
        "aws_access_key_id": assumed["AccessKeyId"],
        "aws_secret_access_key": assumed["SecretAccessKey"],
        "aws_session_token": assumed["SessionToken"],
    }
    return boto3.client(service, **{**clone.access, **keys})  # type: ignore[call-overload]


def become(clone: Clone, patch: pytest.MonkeyPatch, name: str, policy: str | None) -> None:
    """Let LOCAL=1 commands act as a new user who has that policy alone."""
    iam = clone.client("iam")
    iam.create_user(UserName=name)
    if policy is not None:
        iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    patch.setenv("PARRIS_LOCAL_ACCESS_KEY_ID", key["AccessKeyId"])
    patch.setenv("PARRIS_LOCAL_SECRET_ACCESS_KEY", key["SecretAccessKey"])


def _document(statement: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statement})
