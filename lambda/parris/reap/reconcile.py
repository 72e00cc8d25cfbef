"""The use case: stacks whose run is over are deleted, and every run has an outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ..aws.instances import list_machines, read_machine
from ..aws.stack_events import deleter, last_deletion
from ..aws.stacks import list_stacks, read_stack, stack_deadline, stack_tags
from ..contract import EndedBy
from ..errors import ParrisError
from ..events.router import REFUSED
from ..runs.bill import with_end
from ..runs.lifecycle import Machine, deleted, replaced
from ..runs.times import read_time
from ..settings import ReapSettings
from .failures import Failures, Stack
from .recorder import Recorder
from .run_tags import names_a_run, run_tags
from .sweep import Sweep

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client

    from .between import Between
    from .launches import Launches


@dataclass(frozen=True, kw_only=True)
class Reaper:
    """One invocation of the reap function."""

    cloudformation: CloudFormationClient
    ec2: EC2Client
    recorder: Recorder
    launches: Launches
    between: Between
    sweep: Sweep
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
            return self._look_at_stack(str(detail["stack-id"]), detail)
        return self.sweep.run(list_stacks(self.cloudformation, self.settings.deployment))

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

    def _look_at_stack(self, stack_id: str, detail: Mapping[str, Any]) -> dict[str, Any]:
        token = str(detail.get("client-request-token") or "")
        heard = str((detail.get("status-details") or {}).get("status"))
        stack = read_stack(self.cloudformation, stack_id)
        tags = run_tags(stack or {})
        ours = tags.get("parris:deployment") == self.settings.deployment
        if stack is None or not ours or not self.recorder.is_of(tags, stack):
            return {"ignored": stack_id}
        run_id = tags["parris:run-id"]
        known = filter(None, (run_id, token))  # which is that of a run that was to replace it
        machines = list_machines(self.ec2, self.settings.deployment, *known)
        if stack["StackStatus"] == "DELETE_COMPLETE":
            machine = machines.get(run_id)
            deadline = stack_deadline(stack)
            who, when = deleter(token), self.now
            if heard != "DELETE_COMPLETE":  # it came late, and its token is not the deletion's
                said = last_deletion(self.cloudformation, stack_id)
                who, when = said or (EndedBy.SOMEBODY, self.now)
            if who == EndedBy.REAP and self.between.go_on(tags):
                return {"deleted": stack["StackName"], "by": who}
            self.recorder.conclude(tags, deadline, deleted(who, deadline, when, machine), machine)
            self._start_waiting()
            return {"deleted": stack["StackName"], "by": who}
        if all(one.startswith("UPDATE_ROLLBACK") for one in (heard, stack["StackStatus"])):
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
                machines = list_machines(self.ec2, self.settings.deployment, run_id)
                return self._look_at_one(stack, machines)
            return {"ended": run_id}  # that it is deleted makes room for whoever waits
        self._start_waiting()
        return {"ended": run_id}

    def _start_waiting(self) -> None:
        failures = Failures()
        left = list_stacks(self.cloudformation, self.settings.deployment)
        start = partial(self.sweep.open_runs.start_waiting, left, failures.careful)
        failures.careful("ledger", start)
        failures.raise_any()

    def _look_at_one(self, stack: Stack, machines: Mapping[str, Machine]) -> dict[str, Any]:
        failures = Failures()
        gone = failures.each(lambda one: self.sweep.review.look(one, machines), [stack])
        failures.raise_any()
        return {"looked-at": 1, "deleting": [one["StackName"] for one in gone]}
