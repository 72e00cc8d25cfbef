"""What rows of several tables share."""

from __future__ import annotations

from collections.abc import Sequence

from parris.launch.render import NODE_TYPES, RESOURCE_TYPES
from tests.proof.table import Context, Rows

STACK = "arn:aws:cloudformation:{region}:{account}:stack/parris-digits/0"

OURS: Context = {"aws:ResourceTag/parris:deployment": "{deployment}"}
ANOTHERS: Context = {"aws:ResourceTag/parris:deployment": "another"}
TAGGED_AS_OURS: Context = {
    "aws:RequestTag/parris:deployment": "{deployment}",
    "aws:TagKeys": ["parris:deployment", "parris:job", "parris:run-id"],
}
OF_OUR_TYPES: Context = {"cloudformation:ResourceTypes": [*RESOURCE_TYPES, *NODE_TYPES]}
OF_ANOTHER_TYPE: Context = {"cloudformation:ResourceTypes": [*RESOURCE_TYPES, "AWS::IAM::Role"]}


LEDGER = "arn:aws:dynamodb:{region}:{account}:table/{deployment}-ledger"
OTHER_TABLES = [
    "arn:aws:dynamodb:{region}:{account}:table/another",
    "arn:aws:dynamodb:{region}:{account}:table/{deployment}-2-ledger",
]
FUNCTION = "arn:aws:lambda:{region}:{account}:function"
KEY = "arn:aws:kms:{region}:{account}:key/ours"
VOLUME_KEY = "arn:aws:kms:{region}:{account}:key/of-volumes"
ANOTHER_KEY = "arn:aws:kms:{region}:{account}:key/another"
ELSEWHERE = "111111111111"

_INTERFACES = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:UnassignPrivateIpAddresses",
]
KEY_USE = ["kms:Decrypt", "kms:GenerateDataKey"]
NO_KEY = "e2e's deployment has no key of its own"


def by_key(*services: str) -> Rows:
    """Return the needs of whoever reads and writes through services that use kms_key_arn."""
    source = "S3 (SSE-KMS), SNS ('Key management') and DynamoDB guides: permissions"
    return [(KEY_USE, KEY, source, _through(service), NO_KEY) for service in services]


def not_by_key(*services: str) -> Rows:
    """Return what stays refused to whoever has the needs of `by_key`."""
    first = services[0]
    return [
        (KEY_USE, KEY, "another service", _through("lambda")),
        (KEY_USE, KEY, "another account", {**_through(first), "kms:CallerAccount": ELSEWHERE}),
        (KEY_USE, ANOTHER_KEY, "another key", _through(first)),
    ]


def _through(service: str) -> Context:
    return {
        "kms:ViaService": f"{service}.{{region}}.amazonaws.com",
        "kms:CallerAccount": "{account}",
    }


def in_vpc(
    function: str, sees: Sequence[str] = ("ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets")
) -> tuple[Rows, Rows]:
    """Return what Lambda needs for a function in a VPC, and the function itself is refused."""
    guide = "Lambda developer guide, 'Giving Lambda functions access to resources in an Amazon VPC'"
    own = {"lambda:SourceFunctionArn": f"{FUNCTION}:{{deployment}}-{function}"}
    needs: Rows = [([*_INTERFACES, *sees], "*", guide, {}, "e2e's functions are in no VPC")]
    return needs, [(_INTERFACES, "*", "the function's own code", own)]


def passed_to(service: str) -> Context:
    """Return the context of a role that is passed to a service, ``ec2``."""
    return {"iam:PassedToService": f"{service}.amazonaws.com"}
