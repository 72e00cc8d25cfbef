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
from ..runs.attempts import between_machines, too_late
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
            self._end(record, ending)
        else:
            self._begin_or_end(record)

    def go_on(self, tags: Mapping[str, str]) -> bool:
        """Ask for the next machine of a run whose stack is gone, if it gets one; return whether."""
        record = self.ledger.read(tags["parris:job"], tags["parris:run-id"])
        if record is None or record.state != State.RELAUNCHING or self._end_refused(record):
            return False
        if next_step(record, self.now, has_stack=False, waits=False) is Step.RELAUNCH:
            self._begin_or_end(record)
        return True

    def end_refused(self, job: str, run_id: str) -> RunRecord | None:
        """End a run for which no launch begins the next machine; None if it is no such run."""
        record = self.ledger.read(job, run_id)
        ended = record is not None and record.state == State.RELAUNCHING
        return record if ended and record and self._end_refused(record) else None

    def _end_refused(self, record: RunRecord) -> bool:
        if record.refused is None:
            return False
        self._end(record, record.refused)
        return True

    def _end(self, record: RunRecord, ending: Ending) -> None:
        self.recorder.end(record.tags, between_machines(record, ending))

    def _begin_or_end(self, record: RunRecord) -> None:
        """Ask for the next machine of a run, or say how it ended if its deadline has come."""
        known = {**record.receipt, **self.recorder.receipt(record.tags)}
        deadline = read_time(known.get("deadline")) or self.now
        if self.now > max(deadline, read_time(known.get("run-deadline")) or deadline):
            self._end(record, too_late(record))
        else:  # the launch function looks whether somebody has asked it to stop
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
