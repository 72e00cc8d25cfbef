"""What is to become of one stack, and the record of how its run ended."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..aws.stacks import delete_stack, read_stack, stack_deadline, stack_tags
from ..contract import EndedBy, State
from ..errors import ParrisError
from ..runs.ending import DEAD
from ..runs.lifecycle import Decision, Facts, Machine, judge
from ..runs.names import KEEP_TAG
from ..runs.times import read_time
from ..settings import ReapSettings
from .failures import ANYTHING
from .recorder import Recorder
from .relaunch import SILENT
from .run_tags import names_a_run, run_tags, without_machines

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

    from ..runs.documents import Outcome
    from .relaunch import Relaunches

log = logging.getLogger(__name__)

_RUN = "parris:run-id"

_OF_MACHINES = (EndedBy.EC2, EndedBy.NODE, EndedBy.SHUTDOWN, EndedBy.SOMEBODY, EndedBy.SPOT)
"""Who is said to have ended a run of whose machines EC2 says that they are over."""


@dataclass(frozen=True, kw_only=True)
class Review:
    """Looks at stacks one by one, with what EC2 says of their machines."""

    cloudformation: CloudFormationClient
    recorder: Recorder
    relaunches: Relaunches
    settings: ReapSettings
    now: datetime

    def read_again(self, stack: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return a stack as it is now; None if it is gone.

        Since it was listed another run may have taken its place, or its deadline may have moved.
        """
        try:
            now = read_stack(self.cloudformation, stack["StackId"])
        except ANYTHING:
            return stack  # what was listed counts until there is better word
        return None if now is None or now["StackStatus"] == "DELETE_COMPLETE" else now

    def look(
        self, stack: Mapping[str, Any], machines: Mapping[str, Machine]
    ) -> Mapping[str, Any] | None:
        """Record how a stack's run ended, and delete the stack if it is over; return it then.

        A run that is over and not recorded is found again by the next sweep as long as its stack
        stands, so the record comes first; but it need not succeed.
        """
        decision, problem = self._record(stack, machines)
        log.info(
            "%s stack %s: %s",
            "deleting" if decision.delete else "leaving",
            stack["StackName"],
            decision.why,
        )
        delete = decision.delete and _run_of(self.read_again(stack)) == _run_of(stack)
        if delete:
            delete_stack(self.cloudformation, stack["StackId"], by=EndedBy.REAP)
        if problem is not None:
            raise problem
        return stack if delete else None

    def record_end(self, stack: Mapping[str, Any], machines: Mapping[str, Machine]) -> None:
        _, problem = self._record(stack, machines)
        if problem is not None:
            raise problem

    def _record(
        self, stack: Mapping[str, Any], machines: Mapping[str, Machine]
    ) -> tuple[Decision, Exception | None]:
        """Return what is to become of a stack, its run's end recorded, and what prevented that.

        A machine that is over, or says only that it was told to power off, does not know by whom.
        Since its stack was listed that may have been deleted, or another run may have got it:
        `Recorder.conclude` will say so.
        """
        tags = run_tags(stack)
        decision, outcome, only_said = self.judge(stack, machines)
        machine = machines.get(tags["parris:run-id"])
        told = only_said and outcome is not None and outcome.get("ended-by") == EndedBy.SHUTDOWN
        dead = decision.ending is not None and decision.ending.ended_by in _OF_MACHINES
        if told or (dead and not self.is_late(stack)):  # else the sweep has just deleted it
            try:
                now = read_stack(self.cloudformation, stack["StackId"])
            except ANYTHING as error:
                return decision, error  # the next look will tell; the stack may go at its time
            if now is None or stack_tags(now).get(_RUN) != tags[_RUN]:
                return replace(decision, delete=False, why="its stack is another run's"), None
            if now["StackStatus"] == "UPDATE_IN_PROGRESS" and self.now <= stack_deadline(now):
                return replace(decision, delete=False, why="its stack may become another's"), None
            stack, tags = now, run_tags(now)
            decision, outcome, only_said = self.judge(stack, machines)
        try:
            if stack["StackStatus"] == "DELETE_FAILED":
                self.recorder.tell_of_failed_deletion(tags, stack)
            if _may_go_on(stack, decision, only_said):
                unsure = replace(decision, delete=False, why="its run may go on")
                try:
                    record = self.recorder.ledger.read(tags["parris:job"], tags[_RUN])
                    over = record.past_machines if record else frozenset()
                    if over:
                        decision, outcome, only_said = self.judge(stack, machines, over)
                        machine = None if machine and machine.instance_id in over else machine
                        tags = without_machines(tags, over)
                    said = outcome if only_said else None
                    found = self.relaunches.look(stack, tags, record, machine, decision, said)
                except ANYTHING as error:
                    return unsure, error  # a run that goes on would lose its stack
                if isinstance(found, Decision):
                    return found, None
                if found is not None:
                    self.recorder.end(tags, found, said)
                    return self.judge(stack, machines, over)[0], None  # it may be kept
            if decision.ending is not None:
                unmade = decision.ending.state == State.LAUNCH_FAILED
                ending = self.recorder.failure(stack, machine) if unmade else decision.ending
                self.recorder.write(tags, ending, machine)
            elif outcome is not None and not _may_change(stack, outcome):
                if only_said:
                    self.recorder.promote(tags, outcome, machine)
                else:
                    self.recorder.tell(tags, outcome)
        except ANYTHING as error:
            return decision, error
        return decision, None

    def judge(
        self,
        stack: Mapping[str, Any],
        machines: Mapping[str, Machine],
        over: Collection[str] = (),
    ) -> tuple[Decision, Outcome | None, bool]:
        """Return what is to become of a stack, and what `Recorder.read` says of its run.

        Args:
            over: instance ids of machines of the run whose end is known, and says nothing of the
                one that came after them.
        """
        tags = without_machines(run_tags(stack), over)
        if not names_a_run(tags):
            raise ParrisError(f"its tags name no run: {tags}")
        machine = machines.get(tags["parris:run-id"])
        if machine is not None and machine.instance_id in over:
            machine = None  # EC2 has yet to list the next one
        outcome, only_said = self.recorder.read(tags, machine)
        keep = tags.get(KEEP_TAG) or self.recorder.receipt(tags).get("keep-stack", "never")
        facts = Facts(
            status=stack["StackStatus"],
            changed=stack.get("LastUpdatedTime", stack["CreationTime"]),
            deadline=stack_deadline(stack),
            keep=str(keep),
            machine=machine,
            outcome_state=None if outcome is None else str(outcome["state"]),
            over_since=read_time((outcome or {}).get("finished")),
            lost=self._lost(tags, machine),
        )
        return judge(facts, self.now, self.settings.overdue), outcome, only_said

    def is_late(self, stack: Mapping[str, Any]) -> bool:
        """Return whether a stack is overdue: the sweep deletes it whatever else is known."""
        return self.now > stack_deadline(stack) + self.settings.overdue

    def _lost(self, tags: Mapping[str, str], machine: Machine | None) -> str:
        """Return which node of a run is over, if its head has not ended it, and is silent."""
        if machine is None or not machine.lost or machine.state in DEAD:
            return ""
        at = self.recorder.last_sign(tags, machine) or machine.launched
        return machine.lost if self.now - at > SILENT else ""


def _run_of(stack: Mapping[str, Any] | None) -> tuple[str, datetime] | None:
    """Return which run a stack holds, and until when; None if there is no stack."""
    if stack is None:
        return None
    return stack_tags(stack).get("parris:run-id", ""), stack_deadline(stack)


def _may_go_on(stack: Mapping[str, Any], decision: Decision, only_said: bool) -> bool:
    """Return whether a machine is over whose run may get another one."""
    status = stack["StackStatus"]
    undone = status.startswith("UPDATE_ROLLBACK_") or status == "DELETE_FAILED"
    return decision.ending is not None or only_said or undone


def _may_change(stack: Mapping[str, Any], outcome: Outcome) -> bool:
    """Return whether `Recorder.conclude` may still say who really ended the run."""
    return (
        stack["StackStatus"] == "DELETE_IN_PROGRESS" and outcome.get("ended-by") == EndedBy.SHUTDOWN
    )
