"""The use case: stacks whose run is over are deleted, and every run has an outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ..aws.instances import list_machines, read_machine
from ..aws.stack_events import deleter
from ..aws.stacks import delete_stack, list_stacks, read_stack, stack_deadline, stack_tags
from ..contract import EndedBy
from ..errors import ParrisError
from ..events.router import REFUSED
from ..runs.bill import with_end
from ..runs.lifecycle import Machine, deleted, replaced
from ..runs.names import KEEP_TAG
from ..runs.record import RunRecord
from ..runs.times import read_time
from ..settings import ReapSettings
from .adopt import Adoption
from .open_runs import Careful, OpenRuns
from .progress import UnderWay
from .recorder import Recorder, names_a_run, run_tags
from .review import ANYTHING, Review

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client

    from .between import Between
    from .launches import Launches

log = logging.getLogger(__name__)

_AT_ONCE = 8

STANDS = "stack %s stands past its deadline (%s)"
"""What a sweep logs of each stack, whatever its status, that should be gone."""


@dataclass(frozen=True, kw_only=True)
class Reaper:
    """One invocation of the reap function."""

    cloudformation: CloudFormationClient
    ec2: EC2Client
    recorder: Recorder
    review: Review
    launches: Launches
    open_runs: OpenRuns
    between: Between
    under_way: UnderWay
    adoption: Adoption
    settings: ReapSettings
    now: datetime

    def reap(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Do what `event` asks for; whatever is not known is a sweep.

        Raises:
            ParrisError: if a stack could not be dealt with, after all the others were; or if
                Terraform is about to remove what stacks still need.
        """
        if (looked := self.recorder.grids.answer(event)) is not None:
            return looked
        if "requestPayload" in event:
            return self.launches.tell_of_failure(event, self.recorder.notifier)
        detail = event.get("detail") or {}
        if "tf" in event:
            return self._guard(event["tf"])
        if REFUSED in event:
            return self._look_at_refused(**event[REFUSED])
        if event.get("source") == "aws.ec2":
            return self._look_at_machine(str(detail["instance-id"]), read_time(event.get("time")))
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
        stacks = [*on_time, *self._each(self.review.read_again, past, failed)]
        late = [stack for stack in stacks if self._is_late(stack)]
        overdue = [stack for stack in late if stack["StackStatus"] != "DELETE_IN_PROGRESS"]
        # One that may be kept has yet to show that its run is over, which takes other services.
        kept = [stack for stack in overdue if stack_tags(stack).get(KEEP_TAG) != "never"]
        ended = self._each(self._end, [one for one in overdue if one not in kept], failed)
        machines = self._machines(failed)
        gone = []
        for stack in kept:
            try:
                spared = machines is not None and not self.review.judge(stack, machines)[0].delete
            except ANYTHING as error:
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
            self._each(lambda one: self.review.record_end(one, known), ended, failed)
            rest = [stack for stack in stacks if stack not in ended]
            gone += self._each(partial(self._look, known, self._records(failed)), rest, failed)
        self._see_to_the_ledger(partial(self._settle, stacks, machines), failed)
        _raise(failed)
        names = [stack["StackName"] for stack in (*ended, *gone)]
        return {"looked-at": len(stacks), "deleting": names}

    def _look(
        self,
        machines: Mapping[str, Machine],
        records: Mapping[str, RunRecord],
        stack: Mapping[str, Any],
    ) -> Mapping[str, Any] | None:
        """Look at a stack as `Review.look` does, if its machine does not say that all is well."""
        said = None if self._is_late(stack) else self.under_way.read(stack, machines, records)
        if said is None or not said.goes_on(self.now):
            gone = self.review.look(stack, machines)
        else:
            gone = None
            log.info("leaving stack %s: its machine says that its run goes on", stack["StackName"])
        if said is not None and gone is None:
            self.under_way.note(said)
        return gone

    def _records(self, failed: list[str]) -> Mapping[str, RunRecord]:
        """Return the runs that may be under way; none, and a line in `failed`, if nobody says."""
        try:
            return self.under_way.records()
        except ANYTHING as error:
            failed.append(f"open runs: {error}")
            return {}

    def _machines(self, failed: list[str]) -> Mapping[str, Machine] | None:
        """Return the machines by run id; None, and a line in `failed`, if EC2 does not say."""
        try:
            return list_machines(self.ec2, self.settings.deployment)
        except ANYTHING as error:
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
            except ANYTHING as error:
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
            except ANYTHING as error:
                log.exception("%s could not be dealt with", what)
                failed.append(f"{what}: {error}")

        careful("ledger", lambda: act(careful))

    def _is_late(self, stack: Mapping[str, Any]) -> bool:
        return self.now > stack_deadline(stack) + self.settings.overdue

    def _end(self, stack: Mapping[str, Any]) -> Mapping[str, Any]:
        delete_stack(self.cloudformation, stack["StackId"], by=EndedBy.REAP)
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

    def _look_at_machine(self, instance_id: str, at: datetime | None) -> dict[str, Any]:
        tagged = read_machine(self.ec2, instance_id, self.settings.deployment)
        if tagged is None:
            return {"ignored": instance_id}
        machine, tags = with_end(tagged[0], at), tagged[1]
        # A job's own template need not give its machine our tag; EC2 has CloudFormation's.
        stack_id = tags.get("parris:stack") or tags.get("aws:cloudformation:stack-id")
        stack = read_stack(self.cloudformation, stack_id) if stack_id else None
        if stack is None or not self.recorder.is_of(tags, stack, instance_id):
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
        if stack is None or not ours or not self.recorder.is_of(tags, stack):
            return {"ignored": stack_id}
        machines = list_machines(self.ec2, self.settings.deployment)
        if stack["StackStatus"] == "DELETE_COMPLETE":
            machine = machines.get(tags["parris:run-id"])
            who, deadline = deleter(token), stack_deadline(stack)
            if who == EndedBy.REAP and self.between.go_on(tags):
                return {"deleted": stack["StackName"], "by": who}
            self.recorder.conclude(
                tags, deadline, deleted(who, deadline, self.now, machine), machine
            )
            self._start_waiting()
            return {"deleted": stack["StackName"], "by": who}
        if stack["StackStatus"].startswith("UPDATE_ROLLBACK"):
            # The tags are the old run's again; the token is the run's that failed to replace it,
            # or not a run's at all: that of a deadline that could not be moved.
            replacing = {**stack_tags(stack), "parris:run-id": token, "parris:log-stream": ""}
            if names_a_run(replacing) and "claimed" in self.recorder.receipt(replacing):
                ending = self.recorder.failure(stack, machines.get(token))
                self.recorder.write(replacing, ending, None)
        return self._look_at_one(stack, machines)

    def _look_at_refused(self, job: str, run_id: str) -> dict[str, Any]:
        """End a run that gets no other machine, and whatever stack it has left."""
        record = self.between.end_refused(job, run_id)
        if record is None:
            return {"ignored": run_id}
        stack = read_stack(self.cloudformation, record.stack_id) if record.stack_id else None
        tags = stack_tags(stack or {})
        if stack is not None and tags.get("parris:run-id") == run_id:
            if not stack["StackStatus"].startswith("DELETE"):
                return self._look_at_one(stack, list_machines(self.ec2, self.settings.deployment))
            return {"ended": run_id}  # that it is deleted makes room for whoever waits
        self._start_waiting()
        return {"ended": run_id}

    def _start_waiting(self) -> None:
        failed: list[str] = []
        left = list_stacks(self.cloudformation, self.settings.deployment)
        self._see_to_the_ledger(partial(self.open_runs.start_waiting, left), failed)
        _raise(failed)

    def _look_at_one(
        self, stack: Mapping[str, Any], machines: Mapping[str, Machine]
    ) -> dict[str, Any]:
        failed: list[str] = []
        gone = self._each(lambda one: self.review.look(one, machines), [stack], failed)
        _raise(failed)
        return {"looked-at": 1, "deleting": [one["StackName"] for one in gone]}


def _raise(failed: Sequence[str]) -> None:
    if failed:
        raise ParrisError(f"{len(failed)} things could not be dealt with: {'; '.join(failed)}")
