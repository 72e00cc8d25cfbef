"""What rows of several tables share."""

from __future__ import annotations

from tests.proof.table import Context

STACK = "arn:aws:cloudformation:{region}:{account}:stack/parris-digits/0"

OURS: Context = {"aws:ResourceTag/parris:deployment": "{deployment}"}
ANOTHERS: Context = {"aws:ResourceTag/parris:deployment": "another"}
LAUNCHED_AS_OURS: Context = {
    "aws:RequestTag/parris:deployment": "{deployment}",
    "aws:TagKeys": ["parris:deployment", "parris:job", "parris:run-id"],
}


def passed_to(service: str) -> Context:
    """Return the context of a role that is passed to a service, ``ec2``."""
    return {"iam:PassedToService": f"{service}.amazonaws.com"}
