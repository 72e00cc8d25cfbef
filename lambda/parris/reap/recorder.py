"""The outcomes of runs, written by the reap function: the machine's own word or what is left."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..aws.ledger import Ledger
from ..aws.results import Results
from ..aws.slots import Slots
from ..aws.stack_events import first_failure, last_failed_deletion
from ..aws.stacks import stack_attempt
from ..aws.told import told_key
from ..aws.topic import Notifier
from ..contract import SCHEMA, EndedBy, State
from ..runs import messages_of_ends as messages
from ..runs.attempt import last_folder
from ..runs.attempts import Over, between_machines, of_all, with_attempts
from ..runs.bill import Bill
from ..runs.ending import Ending
from ..runs.lifecycle import POWERED_OFF_BY_ITSELF, Machine, launch_failed, vanished
from ..runs.messages import Notice
from ..runs.names import run_prefix
from ..runs.record import RunRecord
from .bills import Bills
from .grids import GridReaper
from .money import Money
from .outcome import outcome_from_outside
from .run_tags import INSTANCE, names_a_run

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client

    from ..runs.documents import Outcome, Receipt


log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Recorder:
    """Gives each run its outcome, once, and tells of it; `tags` are its stack's `run_tags`."""

    storage: Results
    ledger: Ledger
    cloudformation: CloudFormationClient
    ec2: EC2Client
    notifier: Notifier
    money: Money
    grids: GridReaper
    bills: Bills
    now: datetime

    def read(self, tags: Mapping[str, str], machine: Machine | None) -> tuple[Outcome | None, bool]:
        """Return a run's outcome, and whether it is only its machine's word as yet."""
        if (outcome := self.storage.read_outcome(_prefix(tags))) is not None:
            return outcome, False
        said = self._said(tags, machine)
        return said, said is not None

    def receipt(self, tags: Mapping[str, str]) -> Receipt:
        """Return a run's receipt as far as it is sound, with what its stack knows."""
        receipt, wrong = self.storage.read_sound_receipt(_prefix(tags))
        if wrong:
            log.warning("%srun.json: %s", _prefix(tags), wrong)
        return {**receipt, "job": tags["parris:job"], "run-id": tags["parris:run-id"]}

    def failure(self, stack: Mapping[str, Any], machine: Machine | None) -> Ending:
        """Return the end of a run whose stack could not be made."""
        said = first_failure(self.cloudformation, stack["StackId"])
        return launch_failed(said or f"CloudFormation: {stack['StackStatus']}", machine)

    def promote(self, tags: Mapping[str, str], outcome: Outcome, machine: Machine | None) -> None:
        """Make a machine's word its run's outcome, and tell of it."""
        self.storage.write_outcome(_prefix(tags), self._whole(tags, outcome, machine))
        self.tell(tags, self.storage.read_outcome(_prefix(tags)) or outcome)

    def write(self, tags: Mapping[str, str], ending: Ending, machine: Machine | None) -> None:
        """Give a run its outcome if it has none, and tell of it."""
        outcome, _ = self.read(tags, machine)
        if outcome is None:
            outcome = self._from_outside(tags, ending, machine)
        self.promote(tags, outcome, machine)

    def end(self, tags: Mapping[str, str], over: Over, said: Outcome | None = None) -> None:
        """Write the outcome of a run that gets no further machine.

        Args:
            said: what its last machine says of the end, if it does.
        """
        if said is None:
            known = self._from_outside(tags, over.ending, over.machine)
        else:
            known = {**said, **over.ending.record()}
        if over.attempts:
            known |= of_all(over.attempts)
            # One that never began to train has not all that was to be restored.
            known["machine"] = last_folder(over.attempts) or known.get("machine")
        self.promote(tags, known, over.machine)

    def _whole(self, tags: Mapping[str, str], outcome: Outcome, machine: Machine | None) -> Outcome:
        """Return an outcome with what its machine does not know, or whose word is not its own.

        The ledger has the attempts and the last metrics. What the last machine cost EC2 knows.
        """
        record = self.record(tags)
        known: Outcome = {"metrics": record.metrics} if record.metrics else {}
        whole: Outcome = {**known, **outcome, "schema": SCHEMA}
        unmade = machine is None and whole.get("state") == State.LAUNCH_FAILED
        if unmade or "attempts" in whole or record.state == State.RELAUNCHING:
            return with_attempts(whole, record)
        named = outcome.get("instance-id") or (machine and machine.instance_id)
        ours = machine is not None and machine.instance_id in {named} - record.past_machines
        listed = machine if ours else None
        bill = self._bill(tags, listed, outcome.get("machine"), outcome.get("cost-usd"))
        return with_attempts({**whole, "cost-usd": bill.usd}, record, bill)

    def _bill(
        self,
        tags: Mapping[str, str],
        machine: Machine | None,
        folder: str | None,
        said_usd: float | None = None,
    ) -> Bill:
        receipt = self.receipt(tags)
        receipt["price"] = receipt.get("price") or self.record(tags).receipt.get("price")
        return self.bills.of(_prefix(tags), receipt, machine, folder, self.now, said_usd)

    def conclude(
        self, tags: Mapping[str, str], deadline: datetime, ending: Ending, machine: Machine | None
    ) -> None:
        """Say how a run ended whose machine CloudFormation took away, if that is what ended it.

        A machine that is terminated from outside may still store its results, and then knows only
        that it was told to power off ("shutdown"): `ending` says by whom.
        """
        found = self.storage.read_outcome(_prefix(tags))
        if found is not None and found.get("ended-by") not in (EndedBy.REAP, EndedBy.SHUTDOWN):
            self.tell(tags, found)
            return
        record, said = self.record(tags), None
        # The reap function's own was written before the machine had its last word.
        if found is None or found.get("ended-by") == EndedBy.REAP:
            if found is None and record.state == State.RELAUNCHING:
                self.end(tags, between_machines(record, ending))
                return
            instance_id = machine.instance_id if machine else tags.get(INSTANCE)
            if instance_id not in record.past_machines:
                said = self._said(tags, machine)
        outcome = said or found
        told = (record.outcome or {}).get("ended-by") == EndedBy.SHUTDOWN  # and its stack was kept
        # The head of several goes by itself where another of them was told to stop.
        alone = record.receipt.get("nodes", 1) == 1
        if machine and (told or (alone and machine.reason == POWERED_OFF_BY_ITSELF)):
            ending = vanished(machine, deadline, self.now)
        if outcome is None:  # what it stores from now on does not say by whom it was ended
            self.promote(tags, self._from_outside(tags, ending, machine), machine)
            return
        by_others = ending.ended_by != EndedBy.SHUTDOWN and (machine is not None or not told)
        if outcome.get("ended-by") == EndedBy.SHUTDOWN and by_others:
            outcome = {**outcome, **ending.record()}
        if outcome != found:
            outcome = self._whole(tags, outcome, machine)
            self.storage.write_outcome(_prefix(tags), outcome, replace=True)
        self.tell(tags, outcome)

    def tell(self, tags: Mapping[str, str], outcome: Outcome) -> None:
        """Note in the ledger how a run ended, make room for another, and notify of it, once.

        The run stays open, for the next sweep, until it has been told.
        """
        job, run_id = tags["parris:job"], tags["parris:run-id"]
        record = self.record(tags)
        words = ("state", "reason", "ended-by")
        known = record.outcome or {}
        if not record.is_open and all(known.get(word) == outcome.get(word) for word in words):
            return
        self.ledger.end(job, run_id, outcome)
        if name := record.receipt.get("stack-name"):
            item = Slots(self.ledger.table).give_back(str(name), record.name)
            self.money.settle(item, record.name, outcome)
        if record.trial is not None:  # the end of its grid is told
            grid = self.grids.settle(record, outcome)
            self.ledger.close(job, run_id)
            if grid is not None:
                self.grids.advance(grid)
            return

        def told() -> Notice:
            log_end = self.storage.read_log_end(_prefix(tags), outcome.get("machine"))
            return messages.ended(job, run_id, self.receipt(tags), outcome, log_end)

        if self.notifier.is_told(told_key(job, run_id, "ended"), told):
            self.ledger.close(job, run_id)

    def is_of(
        self, tags: Mapping[str, str], stack: Mapping[str, Any], instance_id: str = ""
    ) -> bool:
        """Return whether tags name a run that has no other stack or machine, nor waits for one."""
        if not names_a_run(tags):
            return False
        record = self.ledger.read(tags["parris:job"], tags["parris:run-id"])
        return record is None or record.is_of(stack["StackId"], stack_attempt(stack), instance_id)

    def record(self, tags: Mapping[str, str]) -> RunRecord:
        """Return a run's record; one of an earlier version has it from its receipt."""
        job, run_id = tags["parris:job"], tags["parris:run-id"]
        found = self.ledger.read(job, run_id)
        return found or self.ledger.adopt(job, run_id, self.receipt(tags), None, self.now)

    def tell_of_failed_deletion(self, tags: Mapping[str, str], stack: Mapping[str, Any]) -> None:
        """Notify, once, that a run's stack could not be deleted, and why."""
        job, run_id = tags["parris:job"], tags["parris:run-id"]

        def told() -> Notice:
            reason = last_failed_deletion(self.cloudformation, stack["StackId"])
            known = reason or str(stack.get("StackStatusReason", "CloudFormation gives no reason"))
            return messages.not_deleted(job, run_id, stack["StackName"], known)

        self.notifier.tell_once(told_key(job, run_id, "delete-failed"), told)

    def _said(self, tags: Mapping[str, str], machine: Machine | None) -> Outcome | None:
        """Return what a run's machine, as EC2 names it, says of its end; None if nothing sound."""
        prefix = _prefix(tags)
        folder = self._folder(tags, machine)
        if folder is None:
            return None
        said, fault = self.storage.read_machine_outcome(prefix, folder)
        if fault:
            log.warning("%smachines/%s/outcome.json counts as none: %s", prefix, folder, fault)
        if said is None:
            return None
        # Which machine it was is not the machine's to say.
        named: Outcome = {**said, "instance-id": folder.rpartition(":")[2]}
        return _believed(named, folder, tags, machine)

    def _from_outside(
        self, tags: Mapping[str, str], ending: Ending, machine: Machine | None
    ) -> Outcome:
        """Return the outcome of a run whose machine left none; its log may be there."""
        prefix = _prefix(tags)
        folder = self._folder(tags, machine) or self._last_folder(tags)
        lines = self.storage.read_log_end(prefix, folder).splitlines() if folder else []
        bill = self._bill(tags, machine, self._folder(tags, machine))
        outcome = outcome_from_outside(self.ec2, self.receipt(tags), ending, machine, bill)
        outcome.setdefault("last-log-line", lines[-1] if lines else None)
        return _believed(outcome, folder, tags, machine)

    def _folder(self, tags: Mapping[str, str], machine: Machine | None) -> str | None:
        instance_id = machine.instance_id if machine else tags.get(INSTANCE)
        if instance_id is None:
            return None
        return self.storage.find_machine_folder(_prefix(tags), instance_id)

    def last_sign(self, tags: Mapping[str, str], machine: Machine) -> datetime | None:
        """Return when a machine stored something last; None if it never did."""
        folder = self._folder(tags, machine)
        return self.storage.last_write(f"{_prefix(tags)}machines/{folder}/") if folder else None

    def _last_folder(self, tags: Mapping[str, str]) -> str | None:
        """Return the folder of the last machine of a run that has begun to train."""
        return last_folder(self.record(tags).attempts)


def _believed(
    outcome: Outcome,
    folder: str | None,
    tags: Mapping[str, str],
    machine: Machine | None,
) -> Outcome:
    """Return an outcome with where its machine was, and where its objects and its log are."""
    stream, zone = tags.get("parris:log-stream") or None, machine.zone if machine else ""
    return {**outcome, "machine": folder, "log-stream": stream, "zone": zone}


def _prefix(tags: Mapping[str, str]) -> str:
    return run_prefix(tags["parris:job"], tags["parris:run-id"])
