"""Grids on a ledger in memory, with a clock: the real rules and writes, on an unsteady cloud.

Functions die before or behind any write, writes come twice, events are lost, late or delivered
twice. What really happens, stacks and dollars, is kept apart from what anybody writes down.
"""

from __future__ import annotations

import contextlib
import json
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from parris.aws.grids import Grids
from parris.aws.ledger import Ledger
from parris.aws.slots import Slots
from parris.aws.table import Item, to_text
from parris.contract import State
from parris.errors import NoRoom
from parris.events.router import grid_event, is_trial, read_request
from parris.jobs.grid import read_grid
from parris.launch.claim import claim_run
from parris.launch.trial import Place, TrialOver, comes_again
from parris.reap.grids import GridReaper
from parris.reap.money import Money
from parris.reap.recorder import Recorder
from parris.runs.grid import GridRecord
from parris.runs.lifecycle import Step, next_step
from parris.runs.month import MICROS
from parris.runs.record import RunRecord
from tests.memory_table import MemoryTable
from tests.plans import NOW

GRID_ID = "20261124-110000-97811d3c"
SWEEP = timedelta(minutes=10)


class Death(Exception):
    """A function ends between two calls."""


@dataclass(frozen=True, kw_only=True)
class Unsteady(MemoryTable):
    """The ledger's table, reached by writes that never come, lose their answer, or come twice."""

    chance: random.Random
    rate: float
    writes: list[int] = field(default_factory=lambda: [0])
    """How many calls there were."""

    def get(self, pk: str, sk: str) -> Item | None:
        self.writes[0] += 1
        if self.chance.random() < self.rate / 4:
            raise Death
        return super().get(pk, sk)

    def put_new(self, *given: Any) -> Item | None:
        return self._unsteady(super().put_new, *given)  # type: ignore[no-any-return]

    def change(self, *given: Any, **values: Any) -> Any:
        return self._unsteady(super().change, *given, **values)

    def _unsteady(self, do: Any, *given: Any, **values: Any) -> Any:
        self.writes[0] += 1
        fate = self.chance.random()
        if fate < self.rate / 3:
            raise Death
        answer = do(*given, **values)
        if fate < self.rate * 2 / 3:
            raise Death  # after the effect
        # botocore sends again what was not answered, and meets its own effect.
        return do(*given, **values) if fate < self.rate else answer


class Sim:
    """One deployment with one grid."""

    def __init__(
        self, spec: dict[str, Any], seed: int, rate: float = 0.0, room: int = 1000
    ) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - what goes wrong, no secret
        self.now, self.rate, self.room = NOW, rate, room
        self.steady = MemoryTable(dynamodb=_none, name="")
        self.table = Unsteady(
            dynamodb=_none,
            name="",
            items=self.steady.items,
            lock=self.steady.lock,
            chance=self.chance,
            rate=rate,
        )
        self.ledger = Ledger(self.table)
        self.queue: list[tuple[datetime, Any]] = []
        """What the functions have sent each other, and when it arrives."""
        self.stacks: dict[str, int] = {}
        """Of runs, what those really cost that stand, in millionths."""
        self.worst: dict[str, int] = {}
        self.cost: dict[str, int] = {}
        """What each run costs."""
        self.made: dict[str, int] = {}
        """How many stacks each run has had."""
        self.spent = 0
        self.most = self.most_stacks = 0
        """What was spent and could still be spent at any moment, and how many stacks stood."""
        self.told: list[Any] = []
        self.grid = read_grid(spec, "test")
        Grids(self.steady).begin(
            "job",
            GRID_ID,
            {
                "grid": to_text(self.grid.stored),
                **{"parameters": "{}", "trigger": "direct", "began": NOW.isoformat()},
                "nonce": "n",
            },
        )
        self._send(grid_event("job", GRID_ID))
        self.next_sweep = NOW + SWEEP

    def record(self) -> GridRecord:
        found = Grids(self.steady).read("job", GRID_ID)
        assert found is not None
        return found

    def play(self, most_steps: int = 1_000_000) -> None:
        """Let time go by until the grid is over."""
        for _ in range(most_steps):
            if "open" not in self.steady.items["grid#job", GRID_ID]:
                return
            self._step()
        raise AssertionError(f"the grid does not come to its end: {self.record()}")

    def _step(self) -> None:
        """Do what comes next: an event, the end of a trial, or a sweep."""
        self.queue.sort(key=lambda item: item[0])
        ends = bool(self.stacks) and self.chance.random() < 0.5
        if self.queue and self.queue[0][0] <= self.next_sweep and not ends:
            at, event = self.queue.pop(0)
            self.now = max(self.now, at)
            self._survive(self._launch if is_trial(event) else self._reap, event)
        elif self.stacks:
            self.now += timedelta(seconds=self.chance.randint(1, 120))
            run_id = self.chance.choice(sorted(self.stacks))
            self.spent += self.stacks.pop(run_id)
            self._survive(self._end, run_id)
            if self.chance.random() < 0.1:
                self._survive(self._end, run_id)  # EventBridge delivers at least once
        else:
            self.now = self.next_sweep
        if self.now >= self.next_sweep:
            self.next_sweep = self.now + SWEEP
            self._survive(self._sweep)
        standing = sum(self.worst[run] for run in self.stacks)
        self.most = max(self.most, self.spent + standing)
        self.most_stacks = max(self.most_stacks, len(self.stacks))

    def _survive(self, act: Any, *given: Any) -> None:
        with contextlib.suppress(Death):
            act(*given)

    def _send(self, event: Any) -> None:
        fate = self.chance.random()
        if fate < self.rate:
            return  # lost
        late = timedelta(seconds=self.chance.choice((0, 0, 0, 30, 200, 4000)) * self.rate * 10)
        self.queue.append((self.now + late, event))
        if fate < self.rate * 3:
            self.queue.append((self.now + 2 * late, event))

    # --- the launch function

    def _launch(self, event: Any) -> None:
        """Do what a launch does with a trial, as far as the ledger goes."""
        request = read_request(event, "request", SimpleNamespace())  # type: ignore[arg-type]
        nonce = str(self.chance.getrandbits(64))
        record, ours = claim_run(
            self.ledger,
            request,
            nonce,
            self.now,
            lambda _, run_id: f"stack/{run_id}" if run_id in self.stacks else None,
            # Its outcome is stored before its stack goes.
            lambda run_id: run_id in self.made and run_id not in self.stacks,
        )
        if not ours:
            return
        receipt: Any = {"stack-name": f"s-{record.run_id[-8:]}", "parameters": event["parameters"]}
        self.ledger.plan(record, receipt)
        worst = self.chance.randint(50_000, 60_000)
        plan: Any = SimpleNamespace(request=request, reserved_usd=worst / MICROS)
        place = Place(self.table, record, plan)
        try:
            place.take(plan)
            slot = Slots(self.table).take(receipt["stack-name"], record.name, self.room)
            if not slot.granted:
                raise NoRoom("others are under way")
        except (NoRoom, TrialOver) as error:
            place.leave(error)
            state = State.QUEUED if comes_again(error) else State.LAUNCH_FAILED
            self.ledger.hold(record, state, str(error))
            return
        self.made[record.run_id] = self.made.get(record.run_id, 0) + 1
        self.worst[record.run_id] = worst
        self.stacks[record.run_id] = self.cost[record.run_id] = self.chance.randint(1_000, worst)
        self.ledger.note_stack(record, f"stack/{record.run_id}", receipt)
        self.ledger.accept(record)

    # --- the reap function

    @property
    def reaper(self) -> GridReaper:
        return GridReaper(
            ledger=self.ledger,
            storage=None,  # type: ignore[arg-type] # nobody stops it
            launches=SimpleNamespace(start=self._send),  # type: ignore[arg-type]
            notifier=SimpleNamespace(is_told=self._tell),  # type: ignore[arg-type]
            now=self.now,
            at_once=1,  # so that the seed decides everything
        )

    def _tell(self, key: str, notice: Any) -> bool:
        self.told.append((key, notice()))
        return True

    @property
    def recorder(self) -> Recorder:
        nothing: Any = None
        return Recorder(
            storage=nothing,
            ledger=self.ledger,
            cloudformation=nothing,
            ec2=nothing,
            notifier=nothing,
            money=Money(ledger=self.ledger, notifier=nothing, now=self.now, budget_usd=None),
            bills=nothing,
            grids=self.reaper,
            now=self.now,
        )

    def _reap(self, event: Any) -> None:
        self.reaper.answer(event)

    def _end(self, run_id: str) -> None:
        self._tell_of(self._run(run_id))

    def _run(self, run_id: str) -> RunRecord:
        found = Ledger(self.steady).read("job", run_id)
        assert found is not None
        return found

    def _tell_of(self, run: RunRecord) -> None:
        number = run.trial[1] if run.trial else 0
        # Of one in ten nobody knows what it has cost.
        cost = self.cost[run.run_id] / MICROS if number % 10 else None
        outcome: Any = {
            **{"state": "succeeded", "reason": "", "ended-by": "trainer"},
            **{"cost-usd": cost, "metrics": {"accuracy": number % 97}},
        }
        self.recorder.tell(run.tags, outcome)

    def _sweep(self) -> None:
        """Do what a sweep does about open runs, as far as the ledger goes, then about grids."""
        for run in self.ledger.open_runs()[0]:
            self._survive(self._settle, run)
        for name, holder in Slots(self.steady).holders().items():
            held = Ledger(self.steady).read(*holder.split("/"))
            if held is None or not held.is_open or held.outcome is not None:
                self._survive(Slots(self.table).give_back, name, holder)
        self.reaper.sweep(lambda _, do: self._survive(do))

    def _settle(self, run: RunRecord) -> None:
        stands = run.run_id in self.stacks
        if run.trial and run.state == State.QUEUED and run.outcome is None:
            if not self.reaper.holds(run):
                self.ledger.hold(run, State.LAUNCH_FAILED, "its grid is over")
            return
        step = next_step(run, self.now, has_stack=stands, waits=False)
        if step is Step.COMPLETE:
            self.ledger.note_stack(run, f"stack/{run.run_id}", run.receipt)
            self.ledger.accept(run)
        elif step is Step.LOOK and self.made.get(run.run_id):  # it has come and gone
            self._tell_of(run)
        elif step is Step.LOOK:
            if self.ledger.hold(run, State.QUEUED, "its launch died"):
                Slots(self.table).give_back(str(run.receipt.get("stack-name")), run.name)
        elif step in (Step.CONCLUDE, Step.TELL):
            self._tell_of(run)


def _none() -> Any:
    raise AssertionError("nobody reaches DynamoDB")


def spec(count: int, **more: Any) -> dict[str, Any]:
    return {"parameters": {"seed": f"1..{count}"}, "metric": "accuracy", **more}


def total(told: Any) -> int:
    """Return how many trials a notice tells of."""
    facts: dict[str, Any] = json.loads(json.dumps(told.facts))
    return int(sum(facts["ended"].values()) + facts["not-begun"])
