"""Runs about which something is still to be done, whatever a launch or an event left undone."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from ..aws.arrivals import Arrivals
from ..aws.ledger import Ledger
from ..aws.queue import Queue, Waiting
from ..aws.results import Results
from ..aws.slots import Slots
from ..aws.stack_events import last_deletion
from ..aws.stacks import read_stack, stack_deadline, stack_tags
from ..aws.told import told_key
from ..contract import EndedBy, State
from ..errors import ParrisError
from ..events.request import is_run_key
from ..events.router import end_event
from ..runs import messages
from ..runs.lifecycle import Machine, Step, deleted, next_step, replaced
from ..runs.month import keeps
from ..runs.names import run_prefix
from ..runs.record import LEASE, RunRecord
from ..runs.times import iso, read_time
from .failures import Careful
from .recorder import Recorder
from .run_tags import run_tags

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

    from .between import Between
    from .dead_launches import DeadLaunches
    from .launches import Launches

log = logging.getLogger(__name__)

_HOLDS_NOTHING = ("DELETE_IN_PROGRESS", "ROLLBACK_COMPLETE", "CREATE_FAILED", "DELETE_FAILED")
"""Statuses of stacks that count against no limit."""

_SENT_AGAIN = timedelta(days=1)
"""How long a window's end is sent again while its launch fails."""


@dataclass(frozen=True, kw_only=True)
class OpenRuns:
    """The ledger's side of a sweep; each step may be done twice."""

    ledger: Ledger
    storage: Results
    cloudformation: CloudFormationClient
    recorder: Recorder
    launches: Launches
    dead_launches: DeadLaunches
    between: Between
    now: datetime

    def settle(
        self,
        stacks: Sequence[Mapping[str, Any]],
        machines: Mapping[str, Machine] | None,
        careful: Careful,
    ) -> None:
        """Do what is missing about each open run, each slot and each launch that waits.

        Args:
            machines: by run id; None while EC2 does not say.
        """
        held = {stack_tags(stack).get("parris:run-id"): stack for stack in stacks}
        open_runs, problems = self.ledger.open_runs()
        for problem in problems:
            careful(problem, _broken)
        waiting, unreadable = self._queue.waiting()
        for problem in unreadable:
            careful(problem, _broken)
        waiting_ids = {one.run_id for one in waiting}
        for record in open_runs:
            if record.trial and record.state == State.QUEUED and record.outcome is None:
                careful(f"trial {record.name}", partial(self._let_wait, record))
                continue
            waits = record.run_id in waiting_ids
            step = next_step(record, self.now, has_stack=record.run_id in held, waits=waits)
            if step in (Step.CONCLUDE, Step.LOOK) and machines is None:
                continue  # whether it began, and how it ended, is for its machine to say
            machine = (machines or {}).get(record.run_id)
            act = partial(self._settle, record, step, held, machine)
            careful(f"run {record.name}", act)
        careful("slots", lambda: self._count(stacks, {run.name: run for run in open_runs}))
        going = {run.name for run in open_runs if keeps(run)}
        careful("month", partial(self.recorder.money.review, going))
        self._send_again(waiting, stacks, careful)
        self._end_windows(careful)
        self.recorder.grids.sweep(careful)

    def _let_wait(self, record: RunRecord) -> None:
        """Leave a trial that waits to its grid, unless that has forgotten it."""
        if not self.recorder.grids.holds(record):
            self.ledger.hold(record, State.LAUNCH_FAILED, f"its grid is over; {record.reason}")

    def _end_windows(self, careful: Careful) -> None:
        """Send the ends of data triggers' windows again that have launched nothing."""
        arrivals = Arrivals(table=self.ledger.table, now=self.now)
        windows, problems = arrivals.unfinished()
        for problem in problems:
            careful(problem, _broken)
        for window in windows:
            if self.now > window.ends + _SENT_AGAIN:  # each failure was told
                careful(
                    f"window {window.name}", partial(arrivals.finish, window.trigger, window.name)
                )
            elif self.now > window.ends + LEASE:
                event = end_event(window.trigger, window.name, iso(window.ends))
                careful(f"window {window.name}", partial(self.launches.start, event))

    @property
    def _queue(self) -> Queue:
        return Queue(self.ledger.table)

    def _settle(
        self,
        record: RunRecord,
        step: Step,
        held: Mapping[str | None, Mapping[str, Any]],
        machine: Machine | None,
    ) -> None:
        if step is Step.CONCLUDE and record.stack_id:
            self._conclude(record, record.stack_id, machine)
        elif step is Step.RELAUNCH:
            self.between.relaunch(record, held.get(record.run_id))
        elif step is Step.COMPLETE:
            self.dead_launches.complete(record, held[record.run_id]["StackId"])
        elif step is Step.LOOK:
            self.dead_launches.look(record, machine)
        elif step is Step.TELL:
            now = self.ledger.read(record.job, record.run_id)  # the index may be a moment behind
            if now is not None and now.is_open and now.outcome is not None:
                self.recorder.tell(now.tags, now.outcome)
        if record.state in (State.SKIPPED, State.QUEUED) and record.outcome is None:
            self._tell_held_back(record)

    def _tell_held_back(self, record: RunRecord) -> None:
        key = told_key(record.job, record.run_id, record.state)
        notice = partial(messages.held_back, record.state, record.job, record.run_id, record.reason)
        if self.recorder.notifier.is_told(key, notice) and record.state == State.SKIPPED:
            self.ledger.close(record.job, record.run_id)

    def _conclude(self, record: RunRecord, stack_id: str, machine: Machine | None) -> None:
        """Record how a run ended whose stack is gone, or another's, if nobody has."""
        stack = read_stack(self.cloudformation, stack_id)
        tags, status = run_tags(stack or {}), str((stack or {}).get("StackStatus"))
        other = tags.get("parris:run-id", record.run_id)
        deadline = read_time(record.receipt.get("deadline")) or self.now
        if stack is not None and other != record.run_id:
            if status.endswith("_IN_PROGRESS"):
                return  # it is being given to another run, or back
            undone = status.startswith("UPDATE_ROLLBACK")  # it was to replace the other, and failed
            ending = self.recorder.failure(stack, machine) if undone else replaced(other)
            self.recorder.conclude(record.tags, deadline, ending, machine)
        elif stack is None or status == "DELETE_COMPLETE":
            deadline = deadline if stack is None else stack_deadline(stack)
            by, when = last_deletion(self.cloudformation, stack_id) or (EndedBy.SOMEBODY, self.now)
            ending = deleted(by, deadline, when, machine)
            then = replace(self.recorder, now=min(when, self.now))  # what it cost until then
            then.conclude({**tags, **record.tags}, deadline, ending, machine)
        # Else it has come since the stacks were listed.

    def _count(
        self, stacks: Sequence[Mapping[str, Any]], open_runs: Mapping[str, RunRecord]
    ) -> None:
        """Let those count against the deployment's limit that are under way, and no others."""
        slots = Slots(self.ledger.table)
        holders = slots.holders()
        for stack in stacks:
            tags, name = stack_tags(stack), stack["StackName"]
            job, run_id = tags.get("parris:job", ""), tags.get("parris:run-id", "")
            run = f"{job}/{run_id}"
            if not is_run_key(job, run_id) or stack["StackStatus"] in _HOLDS_NOTHING:
                continue
            known = open_runs.get(run)
            if known is not None and known.outcome is None and holders.get(name) == run:
                del holders[name]
                continue
            record = self.recorder.record(tags)  # the index may be a moment behind
            if record.is_open and record.outcome is None:
                slots.set(name, run)
                holders.pop(name, None)
        for name, run in holders.items():
            job, _, run_id = run.partition("/")
            held = self.ledger.read(job, run_id)
            if held is None or not held.is_open or held.outcome is not None:
                slots.give_back(name, run)

    def start_waiting(self, stacks: Sequence[Mapping[str, Any]], careful: Careful) -> None:
        """Send the events again that wait for the name of a stack that is gone."""
        waiting, problems = self._queue.waiting()
        for problem in problems:
            careful(problem, _broken)
        self._send_again(waiting, stacks, careful)

    def _send_again(
        self, waiting: Sequence[Waiting], stacks: Sequence[Mapping[str, Any]], careful: Careful
    ) -> None:
        """An entry stays until its launch has its stack, or has failed."""
        held = {stack["StackName"] for stack in stacks}

        def go_on(one: Waiting) -> None:
            record = self.ledger.read(one.job, one.run_id)
            if record is None or record.stack_id is not None or not record.is_open:
                self._queue.leave(one.stack_name, one.run_id)  # its launch did not come to do so
            elif self._died_after_its_stack(record):
                self._queue.leave(one.stack_name, one.run_id)  # the next sweep says how it ended
            elif one.stack_name not in held:
                self.launches.start(one.event)

        for one in waiting:
            careful(f"queue of {one.stack_name}", partial(go_on, one))

    def _died_after_its_stack(self, record: RunRecord) -> bool:
        """Return whether its launch died, and its stack has come and gone: no other one begins."""
        died = record.state == State.LAUNCHING and self.now > record.lease
        return died and self.storage.has_begun(run_prefix(record.job, record.run_id))


def _broken() -> None:
    raise ParrisError("nobody can read it; delete that item of the ledger's table")
