"""Runs that have lost a machine and have yet to get the next one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..aws.ledger import Ledger
from ..aws.stack_events import last_deletion
from ..aws.stacks import UPDATABLE, read_stack, stack_tags
from ..contract import EndedBy, State
from ..runs.ending import Ending
from ..runs.lifecycle import Step, deleted, next_step, replaced
from ..runs.record import RunRecord
from ..runs.times import read_time
from .recorder import Recorder
from .relaunch import Relaunches

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient


@dataclass(frozen=True, kw_only=True)
class Between:
    """Asks for their next machine again, or says how they ended if that has come instead."""

    ledger: Ledger
    cloudformation: CloudFormationClient
    recorder: Recorder
    relaunches: Relaunches
    now: datetime

    def relaunch(self, record: RunRecord, stack: Mapping[str, Any] | None) -> None:
        """Ask for the next machine of a run again, unless its end has come instead."""
        if stack is not None:
            if self.relaunches.holds_the_next(record, stack):
                self.relaunches.complete(record, stack)
            elif record.refused is None and stack["StackStatus"] in UPDATABLE:
                self._begin_or_end(record)
            return  # else its stack goes first, or `Review.look` records how it ended
        if ending := self._taken_away(record):
            self.recorder.write(record.tags, ending, None)
        else:
            self._begin_or_end(record)

    def go_on(self, tags: Mapping[str, str]) -> bool:
        """Ask for the next machine of a run whose stack is gone, if it gets one; return whether."""
        record = self.ledger.read(tags["parris:job"], tags["parris:run-id"])
        if record is None or record.state != State.RELAUNCHING or record.refused is not None:
            return False
        if next_step(record, self.now, has_stack=False, waits=False) is Step.RELAUNCH:
            self._begin_or_end(record)
        return True

    def _begin_or_end(self, record: RunRecord) -> None:
        """Ask for the next machine of a run, or say how it ended if somebody has ended it."""
        receipt = self.recorder.receipt(record.tags)
        deadline = read_time(receipt.get("deadline")) or self.now
        stop = receipt.get("stop")
        if isinstance(stop, dict):
            reason = f"stopped by {stop.get('by', 'somebody')} before it had another machine"
            ending = Ending(state=State.STOPPED, reason=reason, ended_by=EndedBy.STOP)
            self.recorder.write(record.tags, ending, None)
        elif self.now > deadline:
            reason = f"{record.reason}; its deadline came before another machine"
            ending = Ending(state=State.TIMED_OUT, reason=reason, ended_by=EndedBy.REAP)
            self.recorder.write(record.tags, ending, None)
        else:
            self.relaunches.start(record)

    def _taken_away(self, record: RunRecord) -> Ending | None:
        """Return how a run ended that waits for a machine and whose stack somebody took."""
        if record.refused is not None:
            return record.refused
        if record.stack_id is None:
            return None
        stack = read_stack(self.cloudformation, record.stack_id)
        other = stack_tags(stack or {}).get("parris:run-id", record.run_id)
        if stack is not None and other != record.run_id:
            return replaced(other)
        by, when = last_deletion(self.cloudformation, record.stack_id) or (EndedBy.REAP, self.now)
        deadline = read_time(record.receipt.get("deadline")) or self.now
        return None if by == EndedBy.REAP else deleted(by, deadline, when)
