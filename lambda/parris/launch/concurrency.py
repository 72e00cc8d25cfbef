"""No more runs at once than the deployment allows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from ..aws.stacks import delete_stack, list_stacks, stack_tags
from ..aws.storage import Storage
from ..errors import LaunchRefused
from ..runs.plan import run_prefix

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

log = logging.getLogger(__name__)

_WITHOUT_MACHINE = ("DELETE_IN_PROGRESS", "ROLLBACK_COMPLETE", "CREATE_FAILED", "DELETE_FAILED")


@dataclass(frozen=True)
class Concurrency:
    """The runs of one deployment that are under way, and how many there may be."""

    cloudformation: CloudFormationClient
    storage: Storage
    deployment: str
    limit: int

    def refuse_another(self, stack_name: str) -> None:
        """Refuse to make `stack_name` if there are as many others as there may be.

        Raises:
            LaunchRefused: naming those that are under way.
        """
        others = [stack for stack in self._live() if stack["StackName"] != stack_name]
        if len(others) >= self.limit:
            raise LaunchRefused(self._refusal(others))

    def withdraw_if_too_many(self, stack_id: str) -> None:
        """Delete the stack just made if others that were made at the same moment come first.

        Launches at once all find room; the order of the stacks, the same for all of them, says
        who has it.

        Raises:
            LaunchRefused: if it was deleted.
        """
        try:
            first = self._live()[: self.limit]
            ids = [stack["StackId"] for stack in first]
            if len(first) < self.limit or stack_id in ids:
                return
            delete_stack(self.cloudformation, stack_id, by="launch")
        except (ClientError, BotoCoreError):
            log.exception("could not count the runs under way; %s stays", stack_id)
            return
        raise LaunchRefused(self._refusal(first))

    def _live(self) -> list[Mapping[str, Any]]:
        """Return the stacks of runs that are not over, the oldest first."""
        stacks = [
            stack
            for stack in list_stacks(self.cloudformation, self.deployment)
            if stack["StackStatus"] not in _WITHOUT_MACHINE
        ]
        # Only then does it matter which are over, by the word of an outcome that is one.
        if len(stacks) >= self.limit:
            stacks = [s for s in stacks if self.storage.read_outcome(_prefix(s)) is None]
        return sorted(stacks, key=lambda stack: (stack["CreationTime"], stack["StackId"]))

    def _refusal(self, live: list[Mapping[str, Any]]) -> str:
        runs = ", ".join(
            f"{stack['StackName']} (run {stack_tags(stack)['parris:run-id']})" for stack in live
        )
        return (
            f"{len(live)} runs are under way, and max_concurrent_runs allows {self.limit}: {runs}; "
            "wait until one ends (make status), end one (make stop RUN=…), or raise "
            "max_concurrent_runs and apply"
        )


def _prefix(stack: Mapping[str, Any]) -> str:
    tags = stack_tags(stack)
    return run_prefix(tags["parris:job"], tags["parris:run-id"])
