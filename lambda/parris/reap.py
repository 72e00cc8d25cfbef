"""The use case: stacks whose run is over are deleted, and every run has an outcome."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from . import notice
from .errors import ParrisError
from .machines import list_machines, read_machine
from .notice import Notice
from .notify import Notifier
from .obituary import Obituary
from .objects import QUEUE, event_key
from .plan import run_prefix
from .settings import ReapSettings
from .stacks import (
    delete_stack,
    deleter,
    first_failure,
    list_stacks,
    read_stack,
    stack_parameters,
    stack_tags,
)
from .storage import Storage
from .verdict import POWERED_OFF_BY_ITSELF, Ending, Facts, Machine, deleted, judge, vanished

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client

    from .launches import Launches

log = logging.getLogger(__name__)

_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Reaper:
    """One invocation of the reap function."""

    storage: Storage
    cloudformation: CloudFormationClient
    ec2: EC2Client
    obituary: Obituary
    notifier: Notifier
    launches: Launches
    settings: ReapSettings
    now: datetime

    def reap(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Do what `event` asks for; whatever is not known is a sweep.

        Raises:
            ParrisError: if a stack could not be dealt with, after all the others were; or if
                Terraform is about to remove what stacks still need.
        """
        if "requestPayload" in event:
            return self.launches.tell_of_failure(event, self.notifier)
        detail = event.get("detail") or {}
        if "tf" in event:
            return self._guard(event["tf"])
        if event.get("source") == "aws.ec2":
            return self._look_at_machine(str(detail["instance-id"]))
        if event.get("source") == "aws.cloudformation":
            token = str(detail.get("client-request-token") or "")
            return self._look_at_stack(str(detail["stack-id"]), token)
        stacks = list_stacks(self.cloudformation, self.settings.deployment)
        self._start_waiting(stacks)
        return self._look_at_all(stacks, list_machines(self.ec2, self.settings.deployment))

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
        stack = read_stack(self.cloudformation, tags.get("parris:stack", ""))
        if stack is None:
            return {"ignored": instance_id}
        run_id = stack_tags(stack).get("parris:run-id")
        if tags.get("parris:run-id") != run_id:  # replaced by a newer run, which goes on
            ending = Ending(
                state="interrupted", reason=f"run {run_id} replaced it", ended_by="replacement"
            )
            self._write(tags, ending, machine)
            return {"ignored": instance_id}
        return self._look_at_all([stack], {str(run_id): machine})

    def _look_at_stack(self, stack_id: str, token: str) -> dict[str, Any]:
        stack = read_stack(self.cloudformation, stack_id)
        tags = stack_tags(stack or {})
        if stack is None or tags.get("parris:deployment") != self.settings.deployment:
            return {"ignored": stack_id}
        machines = list_machines(self.ec2, self.settings.deployment)
        if stack["StackStatus"] == "DELETE_COMPLETE":
            self._conclude(
                tags, _deadline(stack), deleter(token), machines.get(tags["parris:run-id"])
            )
            self._start_waiting(list_stacks(self.cloudformation, self.settings.deployment))
            return {"deleted": stack["StackName"], "by": deleter(token)}
        if stack["StackStatus"].startswith("UPDATE_ROLLBACK"):
            # The tags are the old run's again; the token is the run's that failed to replace it,
            # or not a run's at all: that of a deadline that could not be moved.
            failed = {**tags, "parris:run-id": token}
            if token and "claimed" in self._receipt(failed):
                self._write(failed, self._failure(stack), None)
        return self._look_at_all([stack], machines)

    def _look_at_all(
        self, stacks: Sequence[Mapping[str, Any]], machines: Mapping[str, Machine]
    ) -> dict[str, Any]:
        failed: list[str] = []

        def look(stack: Mapping[str, Any]) -> str | None:
            machine = machines.get(stack_tags(stack).get("parris:run-id", ""))
            try:
                return self._look(stack, machine)
            except (ClientError, BotoCoreError, ParrisError, ValueError, KeyError) as error:
                # The next stack must not wait for this one; the next sweep tries again.
                log.exception("stack %s could not be dealt with", stack["StackName"])
                failed.append(f"{stack['StackName']}: {error}")
                return None

        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            gone = [name for name in pool.map(look, stacks) if name is not None]
        if failed:
            raise ParrisError(f"{len(failed)} stacks could not be dealt with: {'; '.join(failed)}")
        return {"looked-at": len(stacks), "deleting": gone}

    def _look(self, stack: Mapping[str, Any], machine: Machine | None) -> str | None:
        """Deal with one stack; return its name if it is being deleted."""
        tags = stack_tags(stack)
        prefix = run_prefix(tags["parris:job"], tags["parris:run-id"])
        outcome = self.storage.read_outcome(prefix)
        facts = Facts(
            status=stack["StackStatus"],
            changed=stack.get("LastUpdatedTime", stack["CreationTime"]),
            deadline=_deadline(stack),
            keep=str(self._receipt(tags).get("keep-stack", "never")),
            machine=machine,
            outcome_state=None if outcome is None else str(outcome["state"]),
            over_since=_time((outcome or {}).get("finished")),
        )
        verdict = judge(facts, self.now, self.settings.overdue)
        if verdict.ending is not None:
            launch_failed = verdict.ending.state == "launch-failed"
            ending = self._failure(stack) if launch_failed else verdict.ending
            self._write(tags, ending, machine)
        elif outcome is not None and not _may_change(stack, outcome):
            self._tell(tags, outcome)
        verb = "deleting" if verdict.delete else "leaving"
        log.info("%s stack %s: %s", verb, stack["StackName"], verdict.why)
        if not verdict.delete:
            return None
        delete_stack(self.cloudformation, stack["StackId"], by="reap")
        return str(stack["StackName"])

    def _receipt(self, tags: Mapping[str, str]) -> Mapping[str, Any]:
        """Return a run's receipt, or as much as its stack knows if somebody deleted it."""
        job, run_id = tags["parris:job"], tags["parris:run-id"]
        try:
            return self.storage.read_receipt(run_prefix(job, run_id)).receipt
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            return {"job": job, "run-id": run_id}

    def _failure(self, stack: Mapping[str, Any]) -> Ending:
        said = first_failure(self.cloudformation, stack["StackId"])
        reason = said or f"CloudFormation: {stack['StackStatus']}"
        return Ending(state="launch-failed", reason=reason, ended_by="cloudformation")

    def _conclude(
        self, tags: Mapping[str, str], deadline: datetime, who: str, machine: Machine | None
    ) -> None:
        """Say who ended a run whose stack is gone, if that is who deleted the stack.

        A machine that is terminated from outside may still store its results, and then knows only
        that it was told to power off ("shutdown"): who deleted the stack is who did it.
        """
        by_itself = machine is not None and machine.reason == POWERED_OFF_BY_ITSELF
        if by_itself and machine is not None:
            self._write(tags, vanished(machine, deadline, self.now), machine)
            return
        ending = deleted(who, deadline, self.now)
        prefix = run_prefix(tags["parris:job"], tags["parris:run-id"])
        outcome = self.storage.read_outcome(prefix)
        if outcome is None or outcome.get("ended-by") != "shutdown":
            self._write(tags, ending, machine)
            return
        words = {"state": ending.state, "reason": ending.reason, "ended-by": ending.ended_by}
        changed = {**outcome, **words}
        self.storage.write_outcome(prefix, changed, replace=True)
        self._tell(tags, changed)

    def _write(self, tags: Mapping[str, str], ending: Ending, machine: Machine | None) -> None:
        """Give a run its outcome if it has none, and tell of it."""
        prefix = run_prefix(tags["parris:job"], tags["parris:run-id"])
        if (outcome := self.storage.read_outcome(prefix)) is None:
            outcome = self.obituary.write(self._receipt(tags), ending, machine, self.now)
            self.storage.write_outcome(prefix, outcome)
            outcome = self.storage.read_outcome(prefix) or outcome  # its machine may be first
        self._tell(tags, outcome)

    def _tell(self, tags: Mapping[str, str], outcome: Mapping[str, Any]) -> None:
        """Notify that a run is over, once."""
        job, run_id = tags["parris:job"], tags["parris:run-id"]

        def told() -> Notice:
            log_end = self.storage.read_log_end(run_prefix(job, run_id))
            return notice.ended(job, run_id, self._receipt(tags), outcome, log_end)

        self.notifier.tell_once(event_key(job, run_id, "ended"), told)

    def _start_waiting(self, stacks: Sequence[Mapping[str, Any]]) -> None:
        """Send the events again that wait for the name of a stack that is gone."""
        held = {stack["StackName"] for stack in stacks}
        for key in self.storage.list_keys(QUEUE):
            name = key.removeprefix(QUEUE).removesuffix(".json")
            if name not in held:
                self.launches.start(self.storage.read(key)["event"])
                self.storage.unmark(key)


def _may_change(stack: Mapping[str, Any], outcome: Mapping[str, Any]) -> bool:
    """Return whether `_conclude` may still say who really ended the run."""
    return stack["StackStatus"] == "DELETE_IN_PROGRESS" and outcome.get("ended-by") == "shutdown"


def _deadline(stack: Mapping[str, Any]) -> datetime:
    """Return a stack's deadline: its parameter, which make extend moves, or else its tag."""
    given = stack_parameters(stack).get("Deadline") or stack_tags(stack)["parris:deadline"]
    return datetime.fromisoformat(given)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
