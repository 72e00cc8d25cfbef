"""CloudFormation: creating a training stack, or replacing what one holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from .errors import LaunchFailed, LaunchRefused

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

UPDATABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")
"""States from which UpdateStack starts (CloudFormation user guide, "Stack status codes")."""


@dataclass(frozen=True, kw_only=True)
class StackCall:
    """One CloudFormation call, rendered."""

    name: str
    run_id: str
    deployment: str
    template: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    role_arn: str

    def arguments(self) -> dict[str, Any]:
        return {
            "StackName": self.name,
            "TemplateBody": self.template,
            "Parameters": [
                {"ParameterKey": key, "ParameterValue": value}
                for key, value in self.parameters.items()
            ],
            "Tags": [{"Key": key, "Value": value} for key, value in self.tags.items()],
            "RoleARN": self.role_arn,
            # The same run asking twice is one operation (API reference, CreateStack).
            "ClientRequestToken": self.run_id,
        }


def start_stack(cloudformation: CloudFormationClient, call: StackCall, *, replace: bool) -> str:
    """Create the stack, or update the one of that name if `replace`; return its id.

    Creating comes first and asking afterwards: the usual launch pays for one call, and two
    launches at once cannot both find the name free.

    Raises:
        LaunchRefused: if a stack of that name is in the way; the text names its state.
        LaunchFailed: if CloudFormation does not accept the template or its parameters.
    """
    try:
        return cloudformation.create_stack(**call.arguments())["StackId"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "AlreadyExistsException":
            raise _failure(error, call.name) from error
    stack = _describe(cloudformation, call.name)
    tags = {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])}
    if tags.get("parris:run-id") == call.run_id:
        return str(stack["StackId"])  # an earlier try got this far and could not say so
    if refusal := why_not_replace(stack["StackStatus"], tags, call, replace=replace):
        raise LaunchRefused(refusal)
    try:
        return cloudformation.update_stack(**call.arguments())["StackId"]
    except ClientError as error:
        raise _failure(error, call.name) from error


def why_not_replace(
    status: str, tags: Mapping[str, str], call: StackCall, *, replace: bool
) -> str | None:
    """Return why the stack that has the name may not be updated, or None if it may."""
    if tags.get("parris:deployment") != call.deployment:
        return (
            f"a stack named {call.name} exists ({status}) and this deployment did not make it; "
            "give the job another training-job-name"
        )
    what = f"stack {call.name} exists: {status}, run {tags.get('parris:run-id', 'unknown')}"
    if status.endswith("_IN_PROGRESS"):
        return f"{what}; wait until it has settled (make status), then launch again"
    if status not in UPDATABLE:
        return f"{what}; it cannot be updated from that state: run make clean-stacks first"
    if not replace:
        return (
            f"{what}; when that run is over, make clean-stacks removes it, or set "
            '"stack-replacement": true to replace whatever it runs'
        )
    return None


def _describe(cloudformation: CloudFormationClient, name: str) -> Mapping[str, Any]:
    stacks = cloudformation.describe_stacks(StackName=name)["Stacks"]
    return stacks[0]


def _failure(error: ClientError, name: str) -> Exception:
    """Return what to raise: CloudFormation's own words where it judged our request."""
    code = error.response["Error"]["Code"]
    if code not in (
        "ValidationError",
        "LimitExceededException",
        "InsufficientCapabilitiesException",
    ):
        return error
    return LaunchFailed(
        f"CloudFormation refused stack {name}: {error.response['Error']['Message']}"
    )
