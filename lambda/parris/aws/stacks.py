"""CloudFormation: training stacks, made, replaced, read and deleted."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from ..errors import LaunchFailed, LaunchUnclear, StackInTheWay
from ..runs.names import KEEP_TAG
from ..runs.times import read_time

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

TOKEN_PREFIX = "parris-"  # noqa: S105 - no secret: it names a request
"""Of the ClientRequestToken of every deletion that Parris asks for; who asked comes next."""

UPDATABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")
"""States from which UpdateStack starts (CloudFormation user guide, "Stack status codes")."""


_TRIES = 3

_LONGEST_RUN = timedelta(hours=168)
"""What max_run_hours may be at most: a stack whose deadline nobody can read has no more."""


@dataclass(frozen=True, kw_only=True)
class StackCall:
    """One CloudFormation call, rendered."""

    name: str
    run_id: str
    attempt: int
    deployment: str
    template: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    role_arn: str
    resource_types: tuple[str, ...]

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
            # CloudFormation refuses a template with others (API reference, CreateStack).
            "ResourceTypes": list(self.resource_types),
            # The same run asking twice is one operation (API reference, CreateStack).
            "ClientRequestToken": self.run_id + (f"-{self.attempt}" if self.attempt > 1 else ""),
        }


def start_stack(cloudformation: CloudFormationClient, call: StackCall, *, replace: bool) -> str:
    """Create the stack, or update the one of that name if `replace`; return its id.

    Creating comes first and asking afterwards: the usual launch pays for one call, and two
    launches at once cannot both find the name free.

    Raises:
        StackInTheWay: if a stack of that name is there and stays; the text names its state.
        LaunchFailed: if CloudFormation does not accept the template or its parameters.
        LaunchUnclear: if nobody knows whether there is a stack now.
    """
    stack = None
    for _ in range(_TRIES):
        try:
            return cloudformation.create_stack(**call.arguments())["StackId"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "AlreadyExistsException":
                return _made_despite(cloudformation, call, error)
        except BotoCoreError as error:  # no answer is no refusal
            return _look_for(cloudformation, call, error)
        try:
            stack = read_stack(cloudformation, call.name)
        except (ClientError, BotoCoreError) as error:  # it may be of a try before this one
            return _look_for(cloudformation, call, error)
        if stack:
            break  # else it has just gone, and the name is free
    if stack is None:
        raise LaunchFailed(f"stack {call.name} came and went {_TRIES} times; send the event again")
    if _holds(stack, call.run_id):
        return str(stack["StackId"])  # an earlier try got this far and could not say so
    tags = stack_tags(stack)
    if refusal := why_not_replace(stack["StackStatus"], tags, call, replace=replace):
        ours = tags.get("parris:deployment") == call.deployment
        held = tags.get("parris:run-id", "") if ours else ""
        kept = tags.get(KEEP_TAG, "never") != "never"
        job = tags.get("parris:job", "")
        raise StackInTheWay(refusal, "" if held == call.run_id else held, job=job, kept=kept)
    try:
        return cloudformation.update_stack(**call.arguments())["StackId"]
    except ClientError as error:
        return _made_despite(cloudformation, call, error)
    except BotoCoreError as error:
        return _look_for(cloudformation, call, error)


def change_stack(cloudformation: CloudFormationClient, call: StackCall) -> str:
    """Give a run's stack its next machine; return the stack's id.

    Raises:
        StackInTheWay: if it is being changed by somebody else.
        LaunchFailed: if CloudFormation does not accept the template or its parameters.
        LaunchUnclear: if nobody knows whether it does.
    """
    try:
        return cloudformation.update_stack(**call.arguments())["StackId"]
    except (ClientError, BotoCoreError) as error:
        # A request that botocore sends again meets the update that it has begun itself.
        stack = None
        with contextlib.suppress(ClientError, BotoCoreError):
            stack = read_stack(cloudformation, call.name)
        if stack and stack_tags(stack).get("parris:attempt") == str(call.attempt):
            return str(stack["StackId"])
        if stack and stack["StackStatus"].endswith("_IN_PROGRESS"):  # by make extend, say
            status = stack["StackStatus"]
            raise StackInTheWay(f"stack {call.name} is {status}", "", job="", kept=False) from error
        if isinstance(error, ClientError) and not _says_nothing(error):
            raise _failure(error, call.name) from error
        raise LaunchUnclear(
            f"CloudFormation did not say whether it changed stack {call.name} ({error}); the next "
            "sweep looks"
        ) from error


def _says_nothing(error: ClientError) -> bool:
    """Return whether an error leaves open what was done: those of the 500s do (API reference).

    So does TokenAlreadyExistsException: a request with the same token came before, whose answer
    was lost (API reference, CreateStack and UpdateStack).
    """
    if error.response["Error"]["Code"] == "TokenAlreadyExistsException":
        return True
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)) >= 500


def _made_despite(cloudformation: CloudFormationClient, call: StackCall, error: ClientError) -> str:
    """Return the id of the run's stack, if a call that was answered with an error has made it.

    botocore sends a request again whose answer was lost: what is refused then, as by throttling, is
    the second one (botocore's ``RetryAttempts`` says how often it did).

    Raises:
        LaunchFailed, ClientError: if nothing was made.
        LaunchUnclear: if nobody knows.
    """
    if _says_nothing(error):
        return _look_for(cloudformation, call, error)
    if error.response.get("ResponseMetadata", {}).get("RetryAttempts"):
        try:
            made = stack_of_run(cloudformation, call.name, call.run_id)
        except (ClientError, BotoCoreError):
            raise _unclear(call, error) from error
        if made:
            return made
    raise _failure(error, call.name) from error


def _look_for(cloudformation: CloudFormationClient, call: StackCall, error: Exception) -> str:
    """Return the id of the run's stack, made by a call whose answer never came.

    Raises:
        LaunchUnclear: if it is not there; it may still come.
    """
    with contextlib.suppress(ClientError, BotoCoreError):
        if stack_id := stack_of_run(cloudformation, call.name, call.run_id):
            return stack_id
    raise _unclear(call, error) from error


def _unclear(call: StackCall, error: Exception) -> LaunchUnclear:
    return LaunchUnclear(
        f"CloudFormation did not say whether it made stack {call.name} ({error}); make status "
        f"shows whether run {call.run_id} is under way; else send the same event again after two "
        "minutes"
    )


def stack_of_run(cloudformation: CloudFormationClient, name: str, run_id: str) -> str | None:
    """Return the id of stack `name` if it holds the run and is not being deleted."""
    stack = read_stack(cloudformation, name)
    return str(stack["StackId"]) if stack and _holds(stack, run_id) else None


def _holds(stack: Mapping[str, Any], run_id: str) -> bool:
    # One that is being deleted goes away: the run has to start anew.
    going = stack["StackStatus"].startswith("DELETE")
    return stack_tags(stack).get("parris:run-id") == run_id and not going


def stack_tags(stack: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])}


def stack_parameters(stack: Mapping[str, Any]) -> dict[str, str]:
    return {item["ParameterKey"]: item["ParameterValue"] for item in stack.get("Parameters", [])}


def stack_attempt(stack: Mapping[str, Any]) -> int:
    """Return which machine of its run a stack holds, by its tags, or had before an update."""
    text = stack_tags(stack).get("parris:attempt", "1")
    return int(text) if text.isdigit() else 1


def stack_deadline(stack: Mapping[str, Any]) -> datetime:
    """Return a stack's deadline: its parameter, which make extend moves, or else its tag."""
    given = (stack_parameters(stack).get("Deadline"), stack_tags(stack).get("parris:deadline"))
    times = (read_time(text) for text in given)
    longest: datetime = stack["CreationTime"] + _LONGEST_RUN
    return next((time for time in times if time is not None), longest)


def list_stacks(cloudformation: CloudFormationClient, deployment: str) -> list[Mapping[str, Any]]:
    """Return the stacks of `deployment`, by its tag, in one listing pass."""
    return [
        stack
        for page in cloudformation.get_paginator("describe_stacks").paginate()
        for stack in page["Stacks"]
        if stack_tags(stack).get("parris:deployment") == deployment
        and stack["StackStatus"] != "DELETE_COMPLETE"
    ]


def read_stack(cloudformation: CloudFormationClient, name_or_id: str) -> Mapping[str, Any] | None:
    """Return a stack, by id also after its deletion; None if there is none."""
    try:
        return cloudformation.describe_stacks(StackName=name_or_id)["Stacks"][0]
    except ClientError as error:
        if "does not exist" not in error.response["Error"]["Message"]:  # a ValidationError
            raise
        return None


def delete_stack(cloudformation: CloudFormationClient, stack_id: str, *, by: str) -> None:
    """Delete a stack; who did it stands in its events for whoever tells how the run ended.

    A token of the same text would make a second try the first (API reference, DeleteStack,
    ClientRequestToken), so each has its time.
    """
    token = f"{TOKEN_PREFIX}{by}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    cloudformation.delete_stack(StackName=stack_id, ClientRequestToken=token)


def why_not_replace(
    status: str, tags: Mapping[str, str], call: StackCall, *, replace: bool
) -> str | None:
    """Return why the stack that has the name may not be updated, or None if it may."""
    if tags.get("parris:deployment") != call.deployment:
        return (
            f"a stack named {call.name} exists ({status}) and this deployment did not make it; "
            "give the job another training-job-name"
        )
    run_id = tags.get("parris:run-id", "unknown")
    what = f"stack {call.name} exists: {status}, run {run_id}"
    beside = "" if replace else '; "several-at-once": true in the job\'s config allows both at once'
    if status.endswith("_IN_PROGRESS"):
        return f"{what}; wait until it has settled (make status), then launch again{beside}"
    if status not in UPDATABLE:
        return f"{what}; it cannot be updated from that state: run make clean-stacks first"
    if not replace:
        return (
            f"{what}; it goes when that run is over, or when make stop RUN={run_id} has ended it "
            "(one that keep-stack keeps: make clean-stacks); "
            f'"stack-replacement": true replaces whatever it runs{beside}'
        )
    return None


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
