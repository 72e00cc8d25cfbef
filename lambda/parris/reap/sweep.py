"""A sweep: the third of three layers that end a run, and whatever an event missed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ..aws.instances import list_machines
from ..aws.stacks import delete_stack, stack_deadline, stack_tags
from ..contract import EndedBy
from ..runs.lifecycle import Machine
from ..runs.names import KEEP_TAG
from ..runs.record import RunRecord
from ..settings import ReapSettings
from .adopt import Adoption
from .failures import ANYTHING, Failures, Stack
from .open_runs import OpenRuns
from .progress import UnderWay
from .review import Review

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client

log = logging.getLogger(__name__)

STANDS = "stack %s stands past its deadline (%s)"
"""What a sweep logs of each stack, whatever its status, that should be gone."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Looks at every stack, and at every run that is open."""

    cloudformation: CloudFormationClient
    ec2: EC2Client
    review: Review
    open_runs: OpenRuns
    under_way: UnderWay
    adoption: Adoption
    settings: ReapSettings
    now: datetime

    def run(self, listed: Sequence[Stack]) -> dict[str, Any]:
        """End what is overdue, by CloudFormation's word alone; then see to everything else.

        What guards money needs no other service: neither a broken object nor a refused call
        stands between an overdue stack and its deletion. All else is done as far as it goes, each
        step on its own.

        Raises:
            ParrisError: with all that failed.
        """
        failures = Failures()
        on_time = [stack for stack in listed if not self.review.is_late(stack)]
        past = [stack for stack in listed if self.review.is_late(stack)]
        stacks = [*on_time, *failures.each(self.review.read_again, past)]
        late = [stack for stack in stacks if self.review.is_late(stack)]
        overdue = [stack for stack in late if stack["StackStatus"] != "DELETE_IN_PROGRESS"]
        ended = failures.each(self._end, overdue)
        machines = self._machines(failures)
        for stack in filter(self._stands_too_long, late):  # the alarm in observe.tf counts these
            log.warning(STANDS, stack["StackName"], stack["StackStatus"])
        gone: list[Stack] = []
        if machines is not None:  # without them, who ended what is told when the stack is gone
            known = machines
            failures.each(lambda one: self.review.record_end(one, known), ended)
            rest = [stack for stack in stacks if stack not in ended]
            gone = failures.each(partial(self._look, known, self._records(failures)), rest)
        failures.careful("ledger", partial(self._settle, stacks, machines, failures))
        failures.raise_any()
        names = [stack["StackName"] for stack in (*ended, *gone)]
        return {"looked-at": len(stacks), "deleting": names}

    def _look(
        self, machines: Mapping[str, Machine], records: Mapping[str, RunRecord], stack: Stack
    ) -> Stack | None:
        """Look at a stack as `Review.look` does, if its machine does not say that all is well."""
        said = None if self.review.is_late(stack) else self.under_way.read(stack, machines, records)
        if said is None or not said.goes_on(self.now):
            gone = self.review.look(stack, machines)
        else:
            gone = None
            log.info("leaving stack %s: its machine says that its run goes on", stack["StackName"])
        if said is not None and gone is None:
            self.under_way.note(said)
        return gone

    def _records(self, failures: Failures) -> Mapping[str, RunRecord]:
        """Return the runs that may be under way; none, and a failure, if nobody says."""
        try:
            return self.under_way.records()
        except ANYTHING as error:
            failures.lines.append(f"open runs: {error}")
            return {}

    def _machines(self, failures: Failures) -> Mapping[str, Machine] | None:
        """Return the machines by run id; None, and a failure, if EC2 does not say."""
        try:
            return list_machines(self.ec2, self.settings.deployment)
        except ANYTHING as error:
            failures.lines.append(f"machines: {error}")
            return None

    def _settle(
        self, stacks: Sequence[Stack], machines: Mapping[str, Machine] | None, failures: Failures
    ) -> None:
        failures.careful("runs of an earlier version", self.adoption.go_on)
        self.open_runs.settle(stacks, machines, failures.careful)

    def _stands_too_long(self, stack: Stack) -> bool:
        """Return whether a stack should be gone; one that is kept has the whole grace."""
        kept = stack_tags(stack).get(KEEP_TAG, "never") != "never"
        return not kept or self.now > stack_deadline(stack) + self.settings.grace

    def _end(self, stack: Stack) -> Stack:
        delete_stack(self.cloudformation, stack["StackId"], by=EndedBy.REAP)
        log.info("deleting stack %s: its deadline is past", stack["StackName"])
        return stack
