"""What AWS knows: actions, resources, condition keys, and what an action asks for besides."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.proof.authorization import Reference
from tests.proof.deployed import Deployed, Document
from tests.proof.table import Call, Table

EVERYWHERE = (
    "aws:principalservicename",
    "aws:securetransport",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:userid",
    "lambda:sourcefunctionarn",
)
"""Keys that do not depend on the action (IAM user guide, "AWS global condition context keys";
Lambda developer guide, "Using source function ARN to control function access behavior")."""

NOT_ASKED: Mapping[tuple[str, str], str] = {
    ("ec2:RunInstances", "ssm:GetParameters"): "the template names the image by its id",
    ("ec2:RunInstances", "iam:PassRole"): "stands in the table of whoever runs instances",
    ("ec2:CreateLaunchTemplate", "ssm:GetParameters"): "the template names the image by its id",
    ("ec2:CreateLaunchTemplateVersion", "ssm:GetParameters"): "as above",
    ("ec2:CreateNetworkInterface", "ec2:CreateTags"): (
        "Lambda tags none with the role: AWS's own AWSLambdaVPCAccessExecutionRole lacks it"
    ),
    ("ec2:DescribeLaunchTemplateVersions", "ssm:GetParameters"): "as above: nothing to resolve",
    **{
        ("servicequotas:GetServiceQuota", f"{service}:{action}"): "only EC2's quotas are read"
        for service, action in (
            ("autoscaling", "DescribeAccountLimits"),
            ("cloudformation", "DescribeAccountLimits"),
            ("dynamodb", "DescribeLimits"),
            ("elasticloadbalancing", "DescribeAccountLimits"),
            ("iam", "GetAccountSummary"),
            ("kinesis", "DescribeLimits"),
            ("rds", "DescribeAccountAttributes"),
            ("route53", "GetAccountLimit"),
        )
    },
}
"""Dependent actions that nothing here asks for, and why."""

IMPLIED: Mapping[str, tuple[str, str]] = {
    "cloudformation:DescribeStacks": (
        "cloudformation:ListStacks",
        "CloudFormation API reference, DescribeStacks, StackName: required to list all stacks",
    ),
}
"""What an action asks for besides though a reference's column of dependent actions may not say."""


def problems(
    tables: Mapping[str, Table], deployed: Deployed, reference: Reference
) -> Iterator[str]:
    """Yield what tables and policies name that AWS does not know, and what they forgot."""
    for table in tables.values():
        for call in (*table.needs, *table.refusals):
            yield from _of_call(call.at(deployed.places), reference)
        yield from _forgotten(table, reference)
    for principal, documents in deployed.policies.items():
        for name, document in documents.items():
            for problem in _of_policy(document, reference):
                yield f"{principal}/{name}: {problem}"


def _of_call(call: Call, reference: Reference) -> Iterator[str]:
    action = reference["actions"].get(call.action)
    if action is None:
        yield f"{call.action} of {call.principal}: AWS has no such action"
        return
    for key in call.context:
        if not has_key(call.action, key, reference, call.resource):
            yield f"{call}: AWS gives {call.action} no key {key}"
    kinds = reference["resources"].get(call.action.partition(":")[0], {})
    if call.resource == "*":
        return
    if not any(_is_of(call.resource, kind["arn"]) for kind in kinds.values()):
        yield f"{call}: {call.resource} is none of {', '.join(sorted(kinds)) or 'nothing'}"


def _forgotten(table: Table, reference: Reference) -> Iterator[str]:
    has = {call.action for call in table.needs}
    for action in sorted(has):
        about = reference["actions"].get(action, {"dependent-actions": []})
        implied = [*about["dependent-actions"], *IMPLIED.get(action, ())[:1]]
        for other in implied:
            if other not in has and (action, other) not in NOT_ASKED:
                yield f"{table.principal}: {action} asks for {other} too, which its table lacks"


def _of_policy(document: Document, reference: Reference) -> Iterator[str]:
    for statement in document["Statement"]:
        actions = _listed(statement.get("Action", []))
        for action in actions:
            if "*" in action:
                continue
            if action not in reference["actions"]:
                yield f"{action} is named by no table, or AWS has no such action"
                continue
            for block in statement.get("Condition", {}).values():
                for key in block:
                    if not has_key(action, key, reference):
                        yield f"{statement.get('Sid')}: AWS gives {action} no key {key}"


def has_key(action: str, key: str, reference: Reference, resource: str = "*") -> bool:
    """Return whether a request for `action` may have the key: of itself, or of its resource.

    Args:
        resource: an ARN, whose type has keys of its own; "*" for one of any type.
    """
    if key.lower() in EVERYWHERE:
        return True
    about = reference["actions"][action]
    kinds = reference["resources"].get(action.partition(":")[0], {})
    keys = [*about["keys"].get("", [])]
    asked = about["resource-types"]
    # A row may refuse an action on what it never acts on: then any type's keys will do.
    for kind in [kind for kind in asked if _is_of(resource, kinds[kind]["arn"])] or asked:
        keys += [*about["keys"].get(kind, []), *kinds[kind]["keys"]]
    return any(
        key.lower() == known.lower()
        or ("${" in known and key.lower().startswith(known.partition("${")[0].lower()))
        for known in keys
    )


def _is_of(resource: str, pattern: str) -> bool:
    regex = "".join(
        part if part == ".*" else re.escape(part)
        for part in re.split(r"(\.\*)", re.sub(r"\$\{[^}]+\}", ".*", pattern))
    )
    return re.fullmatch(regex, resource) is not None


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]
