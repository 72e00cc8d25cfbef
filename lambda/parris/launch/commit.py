"""What a launch does: from a claimed run to its stack.

What a sweep finds if the launch dies (reap/open_runs.py): after the claim, a run without a stack,
whose event may be sent again; after CreateStack, a stack whose run it completes and tells of.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from ..aws.ledger import Ledger
from ..aws.queue import Queue
from ..aws.slots import Slot
from ..aws.stacks import start_stack
from ..aws.storage import Storage
from ..aws.told import told_key
from ..aws.topic import Notifier
from ..contract import State
from ..errors import LaunchUnclear, NoRoom, ParrisError, StackInTheWay
from ..runs import messages
from ..runs.answer import answer_of, duplicate_of
from ..runs.budget import Price
from ..runs.names import run_prefix
from ..runs.plan import RunPlan
from ..runs.receipt import receipt
from ..runs.record import RunRecord
from ..settings import Settings
from . import prepare, room
from .claim import Orders
from .overlap import hold_back
from .prepare import Clients, Machine
from .trial import Place, comes_again

if TYPE_CHECKING:
    from ..runs.documents import Answer, Receipt

log = logging.getLogger(__name__)

_AWS = (ClientError, BotoCoreError)


@dataclass(kw_only=True)
class Commit:
    """One claimed run on its way to its stack."""

    record: RunRecord
    plan: RunPlan
    event: Mapping[str, Any]
    settings: Settings
    clients: Clients
    storage: Storage
    ledger: Ledger
    notifier: Notifier
    slot: Slot | None = None

    def __post_init__(self) -> None:
        self.orders = Orders(self.storage, self.plan.prefix)
        self.queue = Queue(self.ledger.table)
        self.place = Place(self.ledger.table, self.record, self.plan)

    def run(self, pool: Executor, files: Mapping[str, int], machine: Machine) -> Answer:
        """Make the stack of the run, and return the answer.

        Everything up to the stack goes side by side: room, orders, copies, image. A price on which
        no deadline hangs is read when the stack is under way. Where there is a month's budget, the
        room takes a price, which is one more round trip.
        """
        planned = receipt(self.plan)
        self.record = replace(self.record, receipt=planned)
        ordering = pool.submit(self.orders.write, planned, first=self.record.claims == 1)
        noting = pool.submit(self._note_plan, planned)
        waiting: list[Future[None]] = [noting, *self._copying(pool, files)]
        budgeted = self.settings.monthly_budget_usd is not None or self.place.is_limited
        if not budgeted:
            waiting.append(pool.submit(self._take_room))
        try:
            imaging = pool.submit(prepare.resolve_image, self.plan, self.clients)
            templating = pool.submit(prepare.read_template, self.plan, self.storage, files, machine)
            placing = pool.submit(prepare.read_network, self.plan, self.clients)
            counts = budgeted or self.plan.budget_usd is not None
            pricing = self._pricing(pool) if counts else None
            mosts = (
                pool.submit(prepare.read_most_hourly, self.plan, self.clients) if budgeted else None
            )
            cloudformation = self.clients.cloudformation()  # made while they are under way
            if earlier := ordering.result():
                wait(waiting)
                return self._of_an_earlier_version(earlier)
            if pricing is not None:
                self.plan = prepare.priced(self.plan, pricing.result)
                if mosts is not None:
                    grace = self.settings.grace
                    self.plan = prepare.shared(self.plan, mosts.result(), grace)
                    waiting.append(pool.submit(self._take_room))
                waiting.append(pool.submit(self._write_limits))
            image, template = imaging.result(), templating.result()
            network = placing.result()
            call = prepare.stack_call(self.plan, self.settings, template, image, machine, network)
            for future in waiting:
                future.result()
            stack_id = start_stack(cloudformation, call, replace=self._replaces())
        except (ParrisError, *_AWS) as error:
            begun: list[Future[Any]] = [ordering, *waiting]
            wait(begun)  # what they do comes before it is undone
            return self._without_stack(error)
        if pricing is None:
            self.plan = prepare.priced(self.plan, self._pricing(pool).result)
        return self._complete(pool, stack_id, image)

    def _pricing(self, pool: Executor) -> Future[Price]:
        return pool.submit(prepare.read_price, self.plan, self.clients)

    def _note_plan(self, planned: Receipt) -> None:
        if not self.ledger.plan(self.record, planned):
            raise LaunchUnclear(f"another launch has taken run {self.plan.run_id} over")

    def _take_room(self) -> None:
        """Count the run against the deployment's limits.

        Raises:
            NoRoom: naming those that are under way, or what their month or their grid has cost.
        """
        self.place.take(self.plan)
        self.slot = room.take_room(self.ledger, self.plan, self.record, self.settings)
        if not self.slot.granted:
            raise NoRoom(room.no_room(self.slot, self.plan, self.settings))
        if self.slot.previous and not self._replaces():
            job, _, run_id = self.slot.previous.partition("/")
            # Between two machines there may be no stack that has the name.
            if waits := between_machines(self.ledger.read(job, run_id), self.plan.stack_name):
                raise waits

    def _replaces(self) -> bool:
        return replaces(self.plan)

    def _copying(self, pool: Executor, files: Mapping[str, int]) -> list[Future[None]]:
        """Copy the run's files and the agent to the run, within S3."""
        job, prefix = self.plan.job, self.plan.prefix
        copy = partial(self.storage.snapshot, job)
        if earlier := self.plan.files_of:
            copy = partial(self.storage.copy_source, run_prefix(job, earlier))
        copies = [pool.submit(copy, name, prefix) for name in files]
        agent = pool.submit(self.storage.copy_agent, prefix, self.settings.agent_version)
        return [*copies, agent]

    def _write_limits(self) -> None:
        """Put the deadline that a budget buys where the machine will read it."""
        planned = receipt(self.plan)
        limits: Receipt = {
            "deadline": planned["deadline"],
            "time-limit-minutes": planned["time-limit-minutes"],
            "cost-limit-usd": planned["cost-limit-usd"],
            "price": planned["price"],
        }
        if "reserved-usd" in planned:
            limits["reserved-usd"] = planned["reserved-usd"]
        self.orders.change(limits)

    def _of_an_earlier_version(self, earlier: Receipt) -> Answer:
        """Answer for a run that a version without a ledger made; a sweep takes it from there."""
        self._give_room_back()
        self.ledger.take_in(self.record, earlier)
        record = replace(self.record, receipt=earlier, stack_id=earlier.get("stack-id"))
        return duplicate_of(record)

    def _without_stack(self, error: Exception) -> Answer:
        """Skip or queue the run if that is what its schedule wants, else free it, and raise.

        Where nobody knows whether there is a stack, nothing is freed: a sweep looks.
        """
        if isinstance(error, LaunchUnclear):
            raise error
        held = None
        try:
            self._give_room_back(error)
            if self.place.trial:
                return self._without_stack_yet(error)
            held = hold_back(self.plan, self.storage, self.queue, self.event, error)
            state, reason = held or (State.LAUNCH_FAILED, str(error))
            if self.ledger.hold(self.record, state, reason):
                self.orders.change({"state": state, "reason": reason})
            if state != State.QUEUED:
                self.queue.leave(self.plan.stack_name, self.plan.run_id)
        except _AWS:
            # The lease frees the run all the same; the error that matters is the caller's.
            log.exception("could not write down that %s has no stack", self.plan.run_id)
        if held is None:
            raise error
        key = told_key(self.plan.job, self.plan.run_id, state)
        notice = partial(messages.held_back, state, self.plan.job, self.plan.run_id, reason)
        if self.notifier.is_told(key, notice) and state == State.SKIPPED:
            self.ledger.close(self.plan.job, self.plan.run_id)
        return {**self._answer(None), "held-back": state, "reason": reason}

    def _without_stack_yet(self, error: Exception) -> Answer:
        """Let a trial wait, whose launch is asked for again, or raise what it cannot get over."""
        state = State.QUEUED if comes_again(error) else State.LAUNCH_FAILED
        if self.ledger.hold(self.record, state, str(error)):
            self.orders.change({"state": state, "reason": str(error)})
        if state != State.QUEUED:
            raise error
        return {**self._answer(None), "held-back": state, "reason": str(error)}

    def _give_room_back(self, error: Exception | None = None) -> None:
        if error is not None:
            self.place.leave(error)
        if self.slot is not None and self.slot.granted:
            previous = self.slot.previous
            if isinstance(error, StackInTheWay) and error.run_id:
                previous = f"{error.job}/{error.run_id}"
            room.give_back(self.ledger, self.plan, self.record, self.settings, previous)

    def _complete(self, pool: Executor, stack_id: str, image: str) -> Answer:
        """Record the stack and tell of it.

        The stack exists and will run: an answer of failure would invite a second one. What fails
        here is done by a sweep.
        """
        price = self.plan.price.record() if self.plan.price else None
        facts: Receipt = {
            "state": State.ACCEPTED,
            "stack-id": stack_id,
            "image": image,
            "price": price,
        }
        whole: Receipt = {**receipt(self.plan), **facts}
        answer = self._answer(stack_id)
        key = told_key(self.plan.job, self.plan.run_id, "started")
        kind = self.plan.request.kind
        telling = pool.submit(
            lambda: (
                bool(self.place.trial)  # of a grid its beginning and its end are told
                or self.notifier.is_told(key, lambda: messages.started(answer, kind))
            )
        )
        steps = [
            pool.submit(self.orders.change, facts),
            pool.submit(self.ledger.note_stack, self.record, stack_id, whole),
        ]
        if self.record.claims > 1:  # it may have waited
            name, run_id = self.plan.stack_name, self.plan.run_id
            steps.append(pool.submit(self.queue.leave, name, run_id))
        try:
            for step in steps:
                step.result()
            if telling.result():
                self.ledger.accept(self.record)
        except _AWS:
            log.exception("could not complete run %s", self.plan.run_id)
        return answer

    def _answer(self, stack_id: str | None) -> Answer:
        answer = answer_of(receipt(self.plan), stack_id)
        answer["results"] = f"s3://{self.plan.results_bucket}/{self.plan.prefix}"
        if self.plan.request.ignored:
            answer["ignored"] = list(self.plan.request.ignored)
        if self.plan.notes:
            answer["notes"] = list(self.plan.notes)
        return answer


def replaces(plan: RunPlan) -> bool:
    """Return whether a run takes the stack of its name over from one that has it."""
    return plan.config.stack_replacement or plan.request.overlap == "replace"


def between_machines(held_by: RunRecord | None, stack_name: str) -> StackInTheWay | None:
    """Return the refusal of a stack's name whose run waits for its next machine, if it does."""
    if held_by is None or held_by.state != State.RELAUNCHING:
        return None
    text = f"run {held_by.run_id} waits for its next machine in stack {stack_name}"
    ends = f"wait until it is over, or end it: make stop RUN={held_by.run_id}"
    return StackInTheWay(f"{text}; {ends}", held_by.run_id, job=held_by.job, kept=False)
