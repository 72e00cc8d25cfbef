"""Runs whose launch died, or could not say what became of it: is there a stack, was there one?"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ..aws.instances import list_machines
from ..aws.ledger import Ledger
from ..aws.queue import Queue
from ..aws.results import Results
from ..aws.slots import Slots
from ..aws.stacks import stack_of_run
from ..aws.told import told_key
from ..aws.topic import tell_of_attempt
from ..contract import State
from ..runs import messages, messages_of_ends
from ..runs.answer import answer_of
from ..runs.ending import DEAD
from ..runs.lifecycle import GONE, Machine, vanished
from ..runs.names import run_prefix
from ..runs.record import RunRecord
from ..runs.times import read_time
from .recorder import Recorder

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client

    from ..runs.documents import Receipt

_DIED = "its launch ended before CloudFormation had taken a stack on; send the event again"

_LOST_PLACE = "its place in the queue was lost, as by an upgrade; send the event again"


@dataclass(frozen=True, kw_only=True)
class DeadLaunches:
    """Completes the record of such a run, records its end, or frees it; each may be done twice."""

    ledger: Ledger
    storage: Results
    cloudformation: CloudFormationClient
    ec2: EC2Client
    recorder: Recorder
    deployment: str
    now: datetime

    def look(self, known: RunRecord, machine: Machine | None) -> None:
        """Settle a run of whose stack nobody knows: it was listed late, went, or never was."""
        name, prefix = known.receipt.get("stack-name"), run_prefix(known.job, known.run_id)
        if name and (stack_id := stack_of_run(self.cloudformation, name, known.run_id)):
            self.complete(known, stack_id)
            return
        if outcome := self.storage.read_outcome(prefix):
            self.recorder.tell(known.tags, outcome)
            return
        record = self.ledger.read(known.job, known.run_id)
        if record is None or (record.nonce, record.state) != (known.nonce, known.state):
            return  # another launch has come, or its end
        if self.recorder.grids.is_grid(record):
            self.ledger.hold(record, State.GRID, "")
            return
        # Of one that was held back the ledger knows that it never began.
        if machine is None and record.state == State.LAUNCHING and self.storage.has_begun(prefix):
            # It may have begun since all machines were listed.
            machine = list_machines(self.ec2, self.deployment, record.run_id).get(record.run_id)
            if machine is None:  # EC2 describes an ended machine for about an hour
                self.recorder.conclude(record.tags, self.now, GONE, None)
                return
        if machine is None:
            self._give_up(record)
        elif machine.state in DEAD:  # nobody could write down how it ended
            deadline = read_time(record.receipt.get("deadline")) or self.now
            ending = vanished(machine, deadline, self.now)
            self.recorder.conclude(record.tags, deadline, ending, machine)

    def complete(self, record: RunRecord, stack_id: str) -> None:
        """Record the stack of a run whose launch did not come to do so, and tell of it."""
        facts: Receipt = {"state": State.ACCEPTED, "stack-id": stack_id}
        self.storage.change_receipt(
            run_prefix(record.job, record.run_id), lambda held: {**held, **facts}
        )
        receipt: Receipt = {**record.receipt, **facts}
        self.ledger.note_stack(record, stack_id, receipt)
        kind = str(receipt.get("trigger", {}).get("kind", ""))
        answer = answer_of(receipt, stack_id)
        key = told_key(record.job, record.run_id, "started")
        started = record.trial is not None or self.recorder.notifier.is_told(
            key, lambda: messages.started(answer, kind)
        )
        if started and tell_of_attempt(record, self.recorder.notifier):
            self.ledger.accept(record)

    def _give_up(self, record: RunRecord) -> None:
        """Free a run that its launch died on, and tell of it."""
        why = _LOST_PLACE if record.state == State.QUEUED else _DIED
        key = told_key(record.job, record.run_id, f"launch-died-{record.claims}")
        told = record.trial is not None or self.recorder.notifier.is_told(
            key,
            lambda: messages_of_ends.launch_died(record.job, record.run_id, record.receipt, why),
        )
        state = State.LAUNCH_FAILED if record.trial is None else State.QUEUED  # its grid goes on
        if not told:
            return
        # First of all: a launch that came now would lose the room that is given back below.
        taken, ours = self.ledger.seize(record, secrets.token_hex(16), self.now)
        if not ours:
            return
        if name := record.receipt.get("stack-name"):
            Queue(self.ledger.table).leave(str(name), record.run_id)
            item = Slots(self.ledger.table).give_back(str(name), record.name)
            self.recorder.money.settle(item, record.name, None)
        facts: Receipt = {"state": state, "reason": why}
        prefix = run_prefix(record.job, record.run_id)
        if self.storage.has_receipt(prefix):
            self.storage.change_receipt(prefix, lambda held: {**held, **facts})
        self.ledger.hold(taken, state, why)
