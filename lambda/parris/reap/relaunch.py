"""Another machine for a run whose machine is over: decided here, begun by the launch function.

Two witnesses say that a machine is gone: EC2 names its state, or, where EC2 does not list it,
nothing of it has reached S3 for a while. Of a stack whose machine EC2 calls terminated, UpdateStack
makes the next one; any other stack is deleted before the next one is made, with all it may hold.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from ..aws.attempts import Attempts
from ..aws.instances import offered_subnets
from ..aws.ledger import Ledger
from ..aws.results import Results
from ..aws.stack_events import first_failure
from ..aws.stacks import UPDATABLE, stack_attempt, stack_deadline
from ..aws.topic import Notifier, tell_of_attempt
from ..contract import State
from ..events.router import relaunch_event
from ..jobs.retry import read_retry
from ..runs.attempt import Attempt
from ..runs.attempts import Over, between_machines, follow, too_late
from ..runs.ending import DEAD, FAILED_CREATE, Ending
from ..runs.ladder import Rung, read_ladder, read_rung
from ..runs.lifecycle import Decision, Machine, launch_failed
from ..runs.names import run_prefix
from ..runs.record import RunRecord, run_deadline
from ..runs.refusals import cause_of
from ..runs.times import iso
from .bills import Bills
from .launches import Launches

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client

    from ..runs.documents import Outcome, Receipt


log = logging.getLogger(__name__)

SILENT = timedelta(minutes=10)
"""So long after it last stored something a machine that EC2 does not list counts as gone; a machine
that runs stores a sign of life every two minutes."""


@dataclass(frozen=True, kw_only=True)
class Relaunches:
    """Looks whether a run whose machine is over gets another one."""

    ledger: Ledger
    storage: Results
    cloudformation: CloudFormationClient
    ec2: EC2Client
    notifier: Notifier
    launches: Launches
    bills: Bills
    now: datetime

    def look(
        self,
        stack: Mapping[str, Any],
        tags: Mapping[str, str],
        record: RunRecord | None,
        machine: Machine | None,
        decision: Decision,
        said: Outcome | None,
    ) -> Decision | Over | None:
        """Return what is to become of a stack while its run goes on, or how the run ended.

        None if there is nothing to add to the `decision` on the stack.

        Args:
            tags: the stack's `run_tags`.
            machine: the newest of the run that EC2 lists, and whose end is not known yet.
            said: what that machine says of its run's end, if it does.
        """
        if record is None or record.outcome is not None:
            return None
        if not record.is_of(stack["StackId"], stack_attempt(stack)):
            return Decision(delete=False, why="its run has another stack by now")
        if self.holds_the_next(record, stack):
            record = self.complete(record, stack)
        if record.state == State.RELAUNCHING:
            return self._between(stack, record)
        if stack["StackStatus"].startswith("DELETE_") or not read_retry(record.receipt).on:
            return None
        if stack["StackStatus"] == "ROLLBACK_IN_PROGRESS" and record.receipt.get("nodes", 1) > 1:
            # What is taken from the head, and it says of that, is no end of the run.
            return Decision(delete=False, why="not all of its nodes could be had")
        if stack_attempt(stack) < _current(record) and not _is_refused(stack, record):
            return Decision(delete=False, why="it was listed before its run's next machine")
        over = self._over(stack, tags, record, machine, decision, said)
        return (
            over
            if over is None or isinstance(over, Decision)
            else self._after(stack, record, machine, over, said)
        )

    def holds_the_next(self, record: RunRecord, stack: Mapping[str, Any]) -> bool:
        """Return whether a stack has the machine of a run that, by its record, is still to come."""
        return record.next is not None and stack_attempt(stack) == record.next.number

    def complete(self, record: RunRecord, stack: Mapping[str, Any]) -> RunRecord:
        """Note an attempt whose stack is there: the launch died before it recorded the stack."""
        prefix = run_prefix(record.job, record.run_id)
        said = self.storage.read_sound_receipt(prefix)[0]
        receipt: Receipt = {**record.receipt, **said}
        Attempts(self.ledger.table).begin(record, str(stack["StackId"]), receipt)
        begun = self.ledger.read(record.job, record.run_id) or record
        if begun.state == State.LAUNCHING and tell_of_attempt(begun, self.notifier):
            self.ledger.accept(begun)
            return replace(begun, state=State.ACCEPTED)
        return begun

    def start(self, record: RunRecord) -> None:
        """Ask the launch function for the next machine of a run."""
        if record.next is not None:
            self.launches.start(relaunch_event(record.job, record.run_id, record.next.number))

    def _between(self, stack: Mapping[str, Any], record: RunRecord) -> Decision | Over:
        if record.refused is not None:
            return between_machines(record, record.refused)
        if self.now > run_deadline(record.receipt, stack_deadline(stack)):
            return between_machines(record, too_late(record))
        status = str(stack["StackStatus"])
        goes = not status.endswith("_IN_PROGRESS") and status not in UPDATABLE
        return Decision(delete=goes, why="another machine of its run is on its way")

    def _over(
        self,
        stack: Mapping[str, Any],
        tags: Mapping[str, str],
        record: RunRecord,
        machine: Machine | None,
        decision: Decision,
        said: Outcome | None,
    ) -> Attempt | Decision | None:
        """Return the attempt that is over; None if none is, or a decision while that is unsure."""
        if _is_refused(stack, record):
            text = first_failure(self.cloudformation, stack["StackId"])
            known = f"{text} {machine.reason if machine else ''}"
            ending = launch_failed(text or f"CloudFormation: {stack['StackStatus']}", machine)
            return self._attempt(stack, tags, record, machine, ending, refusal=cause_of(known).word)
        if said is not None:
            words = {key: str(said.get(key, "")) for key in ("state", "reason")}
            ending = Ending(**words, ended_by=str(said["ended-by"]))
            return self._attempt(stack, tags, record, machine, ending, said.get("cost-usd"))
        if decision.ending is None:
            return None
        if machine is None and (at := self._last_sign(tags, record)):
            why = f"EC2 does not list its machine, which stored something at {iso(at)}"
            return Decision(delete=False, why=why)
        return self._attempt(stack, tags, record, machine, decision.ending)

    def _last_sign(self, tags: Mapping[str, str], record: RunRecord) -> datetime | None:
        """Return when the machine that EC2 does not list stored something, if that is not long."""
        prefix, instance_id = run_prefix(record.job, record.run_id), tags.get("parris:instance-id")
        folder = instance_id and self.storage.find_machine_folder(prefix, instance_id)
        if not folder:
            return None
        at = self.storage.last_write(f"{prefix}machines/{folder}/")
        return at if at is not None and self.now - at < SILENT else None

    def _attempt(
        self,
        stack: Mapping[str, Any],
        tags: Mapping[str, str],
        record: RunRecord,
        machine: Machine | None,
        ending: Ending,
        said_usd: float | None = None,
        refusal: str | None = None,
    ) -> Attempt:
        """Return the attempt that is over, by EC2's times as far as it knows them.

        The machine that EC2 does not list is the one that its stack names: what it has stored is
        gone on from.
        """
        prefix, receipt = run_prefix(record.job, record.run_id), record.receipt
        named = tags.get("parris:instance-id") if refusal is None else None
        instance_id = machine.instance_id if machine else named
        folder = instance_id and self.storage.find_machine_folder(prefix, instance_id)
        known: Receipt = {**receipt, "deadline": iso(stack_deadline(stack))}
        bill = self.bills.of(prefix, known, machine, folder or None, self.now, said_usd)
        # Written as the trainer begins: without it the folder may lack what was to be restored.
        if folder and not self.storage.has_any(f"{prefix}machines/{folder}/alive.json"):
            folder = None
        return Attempt(
            number=int(receipt.get("attempt", 1)),
            rung=read_rung(receipt),
            began=iso(bill.began),
            ended=iso(bill.ended),
            state=ending.state,
            reason=ending.reason[:500],
            ended_by=ending.ended_by,
            hourly_usd=(receipt.get("price") or {}).get("hourly-usd"),
            usd=0.0 if refusal is not None and machine is None else bill.usd,
            instance_id=instance_id,
            zone=machine.zone if machine else "",
            folder=folder or None,
            refusal=refusal,
        )

    def _after(
        self,
        stack: Mapping[str, Any],
        record: RunRecord,
        machine: Machine | None,
        over: Attempt,
        said: Outcome | None,
    ) -> Decision | Over:
        attempts = (*record.attempts, over)
        then = follow(
            attempts,
            retry=read_retry(record.receipt),
            rungs=self._rungs(record, over),
            exit_status=(said or {}).get("exit-status"),
            now=self.now,
            deadline=run_deadline(record.receipt, stack_deadline(stack)),
        )
        if isinstance(then, Ending):
            every = attempts if record.attempts else ()
            return Over(ending=then, attempts=every, machine=machine)
        updatable = stack["StackStatus"] in UPDATABLE and (machine is not None or over.refusal)
        # Of a run of several machines all go, before others are asked for: UpdateStack would make
        # the new ones beside the old.
        updatable = updatable and record.receipt.get("nodes", 1) == 1
        if updatable and machine is not None and machine.state not in DEAD:
            return Decision(delete=False, why="its machine is going, and another one is to follow")
        if Attempts(self.ledger.table).end(record, attempts, then, over.reason, self.now):
            tell_of_attempt(replace(record, attempts=attempts), self.notifier)
        if updatable and then.not_before <= iso(self.now):
            self.launches.start(relaunch_event(record.job, record.run_id, then.number))
        return Decision(delete=not updatable, why=f"attempt {then.number} of its run follows")

    def _rungs(self, record: RunRecord, over: Attempt) -> list[Rung]:
        ladder = read_ladder(record.receipt)
        if not over.refusal:
            return ladder.rungs()
        try:
            offered = offered_subnets(self.ec2, ladder.instance_types, ladder.subnets)
        except (ClientError, BotoCoreError):  # a role of an older version may not ask
            log.exception("where EC2 offers %s is not known", ladder.instance_types)
            return ladder.rungs()
        return ladder.rungs(offered) or ladder.rungs()


def _is_refused(stack: Mapping[str, Any], record: RunRecord) -> bool:
    """Return whether the machine of the attempt that is under way could not be made."""
    status = str(stack["StackStatus"])
    undone = status.startswith("UPDATE_ROLLBACK_") and not status.endswith("_IN_PROGRESS")
    return status in FAILED_CREATE or (undone and stack_attempt(stack) < _current(record))


def _current(record: RunRecord) -> int:
    """Return which machine of a run is under way, by its record."""
    return int(record.receipt.get("attempt", 1))
