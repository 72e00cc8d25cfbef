"""The use case: stacks whose run is over are deleted, and every run has an outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from ..aws.instances import list_machines, read_machine
from ..aws.stacks import (
    delete_stack,
    deleter,
    list_stacks,
    read_stack,
    stack_deadline,
    stack_tags,
)
from ..errors import ParrisError
from ..events.request import is_run_key
from ..runs.lifecycle import Decision, Facts, Machine, deleted, judge, replaced
from ..runs.outcome import read_time
from ..runs.plan import KEEP_TAG
from ..settings import ReapSettings
from .adopt import Adoption
from .open_runs import Careful, OpenRuns
from .recorder import Recorder, run_tags

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client

    from .launches import Launches

log = logging.getLogger(__name__)

_AT_ONCE = 8

STANDS = "stack %s stands past its deadline (%s)"
"""What a sweep logs of each stack, whatever its status, that should be gone."""

_ANYTHING = (ClientError, BotoCoreError, ParrisError, ValueError, KeyError, TypeError)
"""What may go wrong with one stack, or one object, while the others wait."""


@dataclass(frozen=True, kw_only=True)
class Reaper:
    """One invocation of the reap function."""

    cloudformation: CloudFormationClient
    ec2: EC2Client
    recorder: Recorder
    launches: Launches
    open_runs: OpenRuns
    adoption: Adoption
    settings: ReapSettings
    now: datetime

    def reap(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Do what `event` asks for; whatever is not known is a sweep.

        Raises:
            ParrisError: if a stack could not be dealt with, after all the others were; or if
                Terraform is about to remove what stacks still need.
        """
        if "requestPayload" in event:
            return self.launches.tell_of_failure(event, self.recorder.notifier)
        detail = event.get("detail") or {}
        if "tf" in event:
            return self._guard(event["tf"])
        if event.get("source") == "aws.ec2":
            return self._look_at_machine(str(detail["instance-id"]))
        if event.get("source") == "aws.cloudformation":
            token = str(detail.get("client-request-token") or "")
            return self._look_at_stack(str(detail["stack-id"]), token)
        return self._sweep(list_stacks(self.cloudformation, self.settings.deployment))

    def _sweep(self, stacks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """End what is overdue, by CloudFormation's word alone; then see to everything else.

        What guards money needs no other service: neither a broken object nor a refused call
        stands between an overdue stack and its deletion. All else is done as far as it goes, each
        step on its own, and what failed is raised at the end.
        """
        failed: list[str] = []
        on_time = [stack for stack in stacks if not self._is_late(stack)]
        past = [stack for stack in stacks if self._is_late(stack)]
        stacks = [*on_time, *self._each(self._read_again, past, failed)]
        late = [stack for stack in stacks if self._is_late(stack)]
        overdue = [stack for stack in late if stack["StackStatus"] != "DELETE_IN_PROGRESS"]
        # One that may be kept has yet to show that its run is over, which takes other services.
        kept = [stack for stack in overdue if stack_tags(stack).get(KEEP_TAG) != "never"]
        ended = self._each(self._end, [one for one in overdue if one not in kept], failed)
        machines = self._machines(failed)
        gone = []
        for stack in kept:
            try:
                spared = machines is not None and not self._judge(stack, machines)[0].delete
            except _ANYTHING as error:
                failed.append(f"{stack['StackName']}: {error}")
                spared = False
            if spared:
                late.remove(stack)
            else:
                ended += self._each(self._end, [stack], failed)
        for stack in late:  # the alarm in observe.tf counts these lines
            log.warning(STANDS, stack["StackName"], stack["StackStatus"])
        if machines is not None:  # without them, who ended what is told when the stack is gone
            known = machines
            self._each(lambda one: self._record_end(one, known), ended, failed)
            rest = [stack for stack in stacks if stack not in ended]
            gone += self._each(lambda one: self._look(one, known), rest, failed)
        self._see_to_the_ledger(partial(self._settle, stacks, machines), failed)
        _raise(failed)
        names = [stack["StackName"] for stack in (*ended, *gone)]
        return {"looked-at": len(stacks), "deleting": names}

    def _machines(self, failed: list[str]) -> Mapping[str, Machine] | None:
        """Return the machines by run id; None, and a line in `failed`, if EC2 does not say."""
        try:
            return list_machines(self.ec2, self.settings.deployment)
        except _ANYTHING as error:
            failed.append(f"machines: {error}")
            return None

    def _each(
        self,
        act: Callable[[Mapping[str, Any]], Mapping[str, Any] | None],
        stacks: Sequence[Mapping[str, Any]],
        failed: list[str],
    ) -> list[Mapping[str, Any]]:
        """Return what `act` returned for each stack; none waits for another that failed."""

        def careful(stack: Mapping[str, Any]) -> Mapping[str, Any] | None:
            try:
                return act(stack)
            except _ANYTHING as error:
                log.exception("stack %s could not be dealt with", stack["StackName"])
                failed.append(f"{stack['StackName']}: {error}")
                return None

        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            return [done for done in pool.map(careful, stacks) if done is not None]

    def _settle(
        self,
        stacks: Sequence[Mapping[str, Any]],
        machines: Mapping[str, Machine] | None,
        careful: Careful,
    ) -> None:
        careful("runs of an earlier version", self.adoption.go_on)
        self.open_runs.settle(stacks, machines, careful)

    def _see_to_the_ledger(self, act: Callable[[Careful], None], failed: list[str]) -> None:
        def careful(what: str, do: Callable[[], Any]) -> None:
            try:
                do()
            except _ANYTHING as error:
                log.exception("%s could not be dealt with", what)
                failed.append(f"{what}: {error}")

        careful("ledger", lambda: act(careful))

    def _is_late(self, stack: Mapping[str, Any]) -> bool:
        return self.now > stack_deadline(stack) + self.settings.overdue

    def _read_again(self, stack: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return a stack as it is now; None if it is gone.

        Since it was listed another run may have taken its place, or its deadline may have moved.
        """
        try:
            now = read_stack(self.cloudformation, stack["StackId"])
        except _ANYTHING:
            return stack  # what was listed counts until there is better word
        return None if now is None or now["StackStatus"] == "DELETE_COMPLETE" else now

    def _end(self, stack: Mapping[str, Any]) -> Mapping[str, Any]:
        delete_stack(self.cloudformation, stack["StackId"], by="reap")
        log.info("deleting stack %s: its deadline is past", stack["StackName"])
        return stack

    def _guard(self, change: Mapping[str, Any]) -> dict[str, Any]:
        """Refuse that Terraform destroys the deployment under its stacks.

        `change` is what aws_lambda_invocation adds to its input (AWS provider documentation,
        "CRUD Lifecycle Management").
        """
        if change.get("action") != "delete":
            return {"guarding": self.settings.deployment}
        stacks = list_stacks(self.cloudformation, self.settings.deployment)
        if not stacks:
            return {"guarding": None}
        names = ", ".join(sorted(stack["StackName"] for stack in stacks))
        raise ParrisError(
            f"destroy refused: {len(stacks)} stacks still need this deployment's roles, to end "
            f"their machines and to be deleted: {names}; run terraform apply, which brings back "
            "the outputs, then make clean-stacks ALL=1, then destroy again"
        )

    def _look_at_machine(self, instance_id: str) -> dict[str, Any]:
        tagged = read_machine(self.ec2, instance_id, self.settings.deployment)
        if tagged is None:
            return {"ignored": instance_id}
        machine, tags = tagged
        # A job's own template need not give its machine our tag; EC2 has CloudFormation's.
        stack_id = tags.get("parris:stack") or tags.get("aws:cloudformation:stack-id")
        stack = read_stack(self.cloudformation, stack_id) if stack_id else None
        if stack is None or not _names_a_run(tags):
            return {"ignored": instance_id}
        run_id = stack_tags(stack).get("parris:run-id")
        if tags.get("parris:run-id") != run_id:  # the stack holds another run, which goes on
            # While an update is undone it is the new run's machine that goes: `_look_at_stack`.
            if not stack["StackStatus"].startswith("UPDATE_ROLLBACK"):
                known = read_time(self.recorder.receipt(tags).get("deadline"))
                self.recorder.conclude(
                    tags, known or stack_deadline(stack), replaced(str(run_id)), machine
                )
            return {"ignored": instance_id}
        return self._look_at_one(stack, {str(run_id): machine})

    def _look_at_stack(self, stack_id: str, token: str) -> dict[str, Any]:
        stack = read_stack(self.cloudformation, stack_id)
        tags = run_tags(stack or {})
        ours = tags.get("parris:deployment") == self.settings.deployment
        if stack is None or not ours or not _names_a_run(tags):
            return {"ignored": stack_id}
        machines = list_machines(self.ec2, self.settings.deployment)
        if stack["StackStatus"] == "DELETE_COMPLETE":
            machine = machines.get(tags["parris:run-id"])
            who, deadline = deleter(token), stack_deadline(stack)
            self.recorder.conclude(tags, deadline, deleted(who, deadline, self.now), machine)
            failed: list[str] = []
            left = list_stacks(self.cloudformation, self.settings.deployment)
            self._see_to_the_ledger(partial(self.open_runs.start_waiting, left), failed)
            _raise(failed)
            return {"deleted": stack["StackName"], "by": who}
        if stack["StackStatus"].startswith("UPDATE_ROLLBACK"):
            # The tags are the old run's again; the token is the run's that failed to replace it,
            # or not a run's at all: that of a deadline that could not be moved.
            replacing = {**stack_tags(stack), "parris:run-id": token, "parris:log-stream": ""}
            if _names_a_run(replacing) and "claimed" in self.recorder.receipt(replacing):
                ending = self.recorder.failure(stack, machines.get(token))
                self.recorder.write(replacing, ending, None)
        return self._look_at_one(stack, machines)

    def _look_at_one(
        self, stack: Mapping[str, Any], machines: Mapping[str, Machine]
    ) -> dict[str, Any]:
        failed: list[str] = []
        gone = self._each(lambda one: self._look(one, machines), [stack], failed)
        _raise(failed)
        return {"looked-at": 1, "deleting": [one["StackName"] for one in gone]}

    def _look(
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
        delete = decision.delete and _run_of(self._read_again(stack)) == _run_of(stack)
        if delete:
            delete_stack(self.cloudformation, stack["StackId"], by="reap")
        if problem is not None:
            raise problem
        return stack if delete else None

    def _record_end(self, stack: Mapping[str, Any], machines: Mapping[str, Machine]) -> None:
        _, problem = self._record(stack, machines)
        if problem is not None:
            raise problem

    def _record(
        self, stack: Mapping[str, Any], machines: Mapping[str, Machine]
    ) -> tuple[Decision, Exception | None]:
        """Return what is to become of a stack, its run's end recorded, and what prevented that."""
        tags = run_tags(stack)
        decision, outcome, only_said = self._judge(stack, machines)
        machine = machines.get(tags["parris:run-id"])
        try:
            if stack["StackStatus"] == "DELETE_FAILED":
                self.recorder.tell_of_failed_deletion(tags, stack)
            if decision.ending is not None:
                unmade = decision.ending.state == "launch-failed"
                ending = self.recorder.failure(stack, machine) if unmade else decision.ending
                self.recorder.write(tags, ending, machine)
            elif outcome is not None and not _may_change(stack, outcome):
                tell = self.recorder.promote if only_said else self.recorder.tell
                tell(tags, outcome)
        except _ANYTHING as error:
            return decision, error
        return decision, None

    def _judge(
        self, stack: Mapping[str, Any], machines: Mapping[str, Machine]
    ) -> tuple[Decision, Mapping[str, Any] | None, bool]:
        """Return what is to become of a stack, and what `Recorder.read` says of its run."""
        tags = run_tags(stack)
        if not _names_a_run(tags):
            raise ParrisError(f"its tags name no run: {tags}")
        machine = machines.get(tags["parris:run-id"])
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
        )
        return judge(facts, self.now, self.settings.overdue), outcome, only_said


def _run_of(stack: Mapping[str, Any] | None) -> tuple[str, datetime] | None:
    """Return which run a stack holds, and until when; None if there is no stack."""
    if stack is None:
        return None
    return stack_tags(stack).get("parris:run-id", ""), stack_deadline(stack)


def _names_a_run(tags: Mapping[str, str]) -> bool:
    return is_run_key(tags.get("parris:job", ""), tags.get("parris:run-id", ""))


def _raise(failed: Sequence[str]) -> None:
    if failed:
        raise ParrisError(f"{len(failed)} things could not be dealt with: {'; '.join(failed)}")


def _may_change(stack: Mapping[str, Any], outcome: Mapping[str, Any]) -> bool:
    """Return whether `Recorder.conclude` may still say who really ended the run."""
    return stack["StackStatus"] == "DELETE_IN_PROGRESS" and outcome.get("ended-by") == "shutdown"
