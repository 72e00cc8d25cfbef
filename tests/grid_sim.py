"""Grids on a ledger in memory, with a clock: the real rules and writes, on an unsteady cloud.

Functions die before or behind any call, calls are refused, lose their answer or come twice, events
are lost, late or delivered twice, and other functions run in between. What really happens, stacks
and dollars, is kept apart from what anybody writes down.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from botocore.exceptions import BotoCoreError, ClientError

from parris.aws.grids import Grids
from parris.aws.ledger import Ledger
from parris.aws.slots import Slots
from parris.aws.table import Item, to_text
from parris.aws.told import Told
from parris.aws.topic import Notifier
from parris.contract import State
from parris.errors import LaunchFailed, LaunchUnclear, NoRoom, ParrisError
from parris.events.router import grid_event, is_trial, read_request
from parris.jobs.grid import read_grid
from parris.launch.claim import claim_run
from parris.launch.trial import Place, comes_again
from parris.reap.grids import GridReaper
from parris.reap.money import Money
from parris.reap.recorder import Recorder
from parris.runs.grid import GridRecord
from parris.runs.lifecycle import Step, next_step
from parris.runs.month import MICROS
from parris.runs.names import trial_stack_name
from parris.runs.receipt import receipt
from parris.runs.record import RunRecord
from tests.faults.chance import Chance
from tests.faults.injector import Death
from tests.metered_table import Meter, MeteredTable
from tests.plans import NOW, plan

GRID_ID = "20261124-110000-97811d3c"
SWEEP = timedelta(minutes=10)
SOON = timedelta(seconds=20)
"""How far ahead of its time an event may come between two calls of a function."""
CHEAPEST, DEAREST = 50_000, 60_000
"""Between which lies what a trial may cost, in millionths of a US dollar."""

_PLANNED = receipt(plan())
_FAILED = (ClientError, BotoCoreError, ParrisError)


@dataclass(frozen=True, kw_only=True)
class Unsteady(MeteredTable):
    """The ledger's table as the functions reach it."""

    chance: Chance
    meanwhile: Callable[[], None]
    """What others do before a call."""

    def get(self, pk: str, sk: str) -> Item | None:
        self.meanwhile()
        read = super().get
        return self.chance.call(lambda: read(pk, sk))

    def put_new(self, *given: Any) -> Item | None:
        self.meanwhile()
        put = super().put_new
        return self.chance.call(lambda: put(*given))

    def change(self, *given: Any, **values: Any) -> Any:
        self.meanwhile()
        change = super().change
        return self.chance.call(lambda: change(*given, **values))

    def query(self, pk: str, **how: Any) -> Iterator[Item]:
        self.meanwhile()
        query = super().query
        return self.chance.call(lambda: query(pk, **how))


class InTurn(contextlib.nullcontext["InTurn"]):
    """Does one thing after another where threads would do them at once: the seed decides all."""

    def __init__(self, max_workers: int) -> None:  # noqa: ARG002 - as ThreadPoolExecutor's
        """Make one without threads, however many are wanted."""
        super().__init__(self)

    def map(self, do: Callable[[Any], Any], given: Iterable[Any]) -> list[Any]:
        return [do(one) for one in given]


class Sim:
    """One deployment with one grid."""

    def __init__(
        self,
        spec: dict[str, Any],
        seed: int,
        rate: float = 0.0,
        room: int = 1000,
        overlap: float = 0.0,
        lasts: tuple[int, int] = (1, 300),
    ) -> None:
        """Begin the grid.

        Args:
            rate: the part of all calls that goes wrong, and of all events that are lost; of three
                times as many comes a second one, or a late one.
            room: max_concurrent_runs.
            overlap: the part of the ledger's calls before which another function comes.
            lasts: the seconds that a trial takes, at least and at most.
        """
        self.chance = random.Random(seed)  # noqa: S311 - what goes wrong, no secret
        self.calls = Chance(self.chance, rate)
        self.now, self.rate, self.room = NOW, rate, room
        self.overlap, self.lasts = overlap, lasts
        self.steady = MeteredTable(dynamodb=_none, name="")
        self.table = Unsteady(
            dynamodb=_none,
            name="",
            items=self.steady.items,
            lock=self.steady.lock,
            states=self.steady.states,
            chance=self.calls,
            meanwhile=self._meanwhile,
        )
        self.ledger = Ledger(self.table)
        self.agenda: list[tuple[Any, int, Callable[[], None]]] = []
        """What comes when: events on their way, ends of trials, the next sweep."""
        self.order = itertools.count()
        self.depth = 0
        """How many functions are under way, each between two calls of the one before."""
        self.stacks: dict[str, int] = {}
        """Of runs, what those really cost that stand, in millionths of a US dollar."""
        self.worst: dict[str, int] = {}
        self.cost: dict[str, int] = {}
        """What each run costs."""
        self.made: dict[str, int] = {}
        """How many stacks each run has had."""
        self.spent = self.standing = 0
        self.most = self.most_stacks = 0
        """What was spent and could still be spent at any moment, and how many stacks stood."""
        self.sent = 0
        """How many events the functions sent each other."""
        self.told: list[dict[str, Any]] = []
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
        self._deliver(grid_event("job", GRID_ID))
        self._sweep_later()

    @property
    def meter(self) -> Meter:
        """What the functions have called the ledger for."""
        return self.table.meter

    def record(self) -> GridRecord:
        found = Grids(self.steady).read("job", GRID_ID)
        assert found is not None
        return found

    def play(self, days: int = 40) -> None:
        """Let time go by until the grid is over, the last late event is there, and two sweeps."""
        with patch("parris.reap.grids.ThreadPoolExecutor", InTurn):
            self._play(NOW + timedelta(days=days))

    def _play(self, limit: datetime) -> None:
        while "open" in self.steady.items["grid#job", GRID_ID]:
            self._step()
            if self.now > limit:
                raise AssertionError(f"the grid does not come to its end: {self.record()}")
        self.calls.rate = self.rate = 0.0
        while len(self.agenda) > 1:
            self._step()
        for _ in range(2):
            self._step()

    def _step(self) -> None:
        at, _, act = heapq.heappop(self.agenda)
        self.now = max(self.now, at)
        act()

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        entry = (self.now + timedelta(seconds=seconds), next(self.order), act)
        heapq.heappush(self.agenda, entry)

    def _meanwhile(self) -> None:
        """Let others go on between two calls, if they have something to do soon."""
        comes = self.depth < 3 and self.overlap and self.chance.random() < self.overlap
        if comes and self.agenda[0][0] <= self.now + SOON:
            self._step()

    def _survives(self, act: Callable[[], None]) -> bool:
        """Be a function from its beginning to its end; return whether that is a good one."""
        self.depth += 1
        try:
            act()
        except (Death, *_FAILED):
            return False
        finally:
            self.depth -= 1
            self.calls.dead = False
        return True

    def _send(self, event: Any) -> None:
        self.sent += 1
        self.calls.call(lambda: self._deliver(event))

    def _deliver(self, event: Any) -> None:
        """Bring an event to its function, of which Lambda keeps some for long, or loses them."""
        act = self._launches if is_trial(event) else self._reaps
        fate = self.chance.random()
        if fate < self.rate:
            return
        late = self.chance.choice((0, 0, 0, 30, 200, 4000)) * self.rate * 10
        self._later(1 + late, lambda: act(event))
        if fate < self.rate * 3:
            self._later(1 + 2 * late, lambda: act(event))

    # --- the launch function

    def _launches(self, event: Any) -> None:
        if not self._survives(lambda: self._launch(event)):
            self._deliver({"requestPayload": event})  # its destination on failure (triggers.tf)

    def _launch(self, event: Any) -> None:
        """Do what a launch does with a trial, as far as the ledger goes (launch/commit.py)."""
        request = read_request(event, "request", SimpleNamespace())  # type: ignore[arg-type]
        record, ours = claim_run(
            self.ledger,
            request,
            f"{self.chance.getrandbits(128):032x}",
            self.now,
            lambda _, run_id: f"stack/{run_id}" if run_id in self.stacks else None,
            # Its outcome is stored before its stack goes.
            lambda run_id: run_id in self.made and run_id not in self.stacks,
        )
        if not ours:
            return
        assert request.trial is not None
        stack_name = trial_stack_name("stack", GRID_ID, request.trial.number)
        known: Any = {"run-id": record.run_id, "job": record.job, "stack-name": stack_name}
        planned: Any = {**_PLANNED, **known, "parameters": event["parameters"]}
        worst = self.chance.randint(CHEAPEST, DEAREST)
        reserves: Any = SimpleNamespace(request=request, reserved_usd=worst / MICROS)
        place, granted = Place(self.table, record, reserves), False
        try:
            if not self.ledger.plan(record, planned):
                raise LaunchUnclear("another launch has taken the run over")
            place.take(reserves)
            granted = Slots(self.table).take(stack_name, record.name, self.room).granted
            if not granted:
                raise NoRoom("others are under way")
            self._create_stack(record.run_id, worst)
        except LaunchUnclear:
            raise  # nothing is freed: a sweep looks
        except _FAILED as error:
            place.leave(error)
            if granted:
                Slots(self.table).give_back(stack_name, record.name)
            state = State.QUEUED if comes_again(error) else State.LAUNCH_FAILED
            self.ledger.hold(record, state, str(error))
            return
        with contextlib.suppress(ClientError, BotoCoreError):
            self.ledger.note_stack(record, f"stack/{record.run_id}", planned)
            self.ledger.accept(record)

    def _create_stack(self, run_id: str, worst: int) -> None:
        """Have a stack made; if there is no answer, look for it."""

        def make() -> None:
            if run_id in self.stacks:  # asked for twice, with the same token
                return
            self.made[run_id] = self.made.get(run_id, 0) + 1
            self.worst[run_id] = worst
            self.stacks[run_id] = self.cost[run_id] = self.chance.randint(1_000, worst)
            self.standing += worst
            self.most = max(self.most, self.spent + self.standing)
            self.most_stacks = max(self.most_stacks, len(self.stacks))
            self._later(self.chance.randint(*self.lasts), lambda: self._ends(run_id))

        try:
            self.calls.call(make)
        except ClientError as error:
            raise LaunchFailed(str(error)) from error
        except BotoCoreError as error:
            with contextlib.suppress(ClientError, BotoCoreError):
                if self.calls.call(lambda: run_id in self.stacks):
                    return
            raise LaunchUnclear("nobody knows whether there is a stack") from error

    # --- the reap function

    def _reaps(self, event: Any, tries: int = 2) -> None:
        """Hand an event over, and again if that ends badly, as Lambda does (reap.tf)."""
        self._reaps_by(lambda: self.reaper.answer(event), tries)

    def _reaps_by(self, act: Callable[[], Any], tries: int = 2) -> None:
        if not self._survives(act) and tries:
            self._later(60, lambda: self._reaps_by(act, tries - 1))

    @property
    def reaper(self) -> GridReaper:
        sns: Any = SimpleNamespace(publish=self._publish)
        return GridReaper(
            ledger=self.ledger,
            storage=None,  # type: ignore[arg-type] # nobody stops it
            launches=SimpleNamespace(start=self._send),  # type: ignore[arg-type]
            notifier=Notifier(
                sns=lambda: sns, topic_arn="", told=Told(table=self.table, now=self.now)
            ),
            now=self.now,
        )

    def _publish(self, *, Message: str, **_: Any) -> None:  # noqa: N803 - boto3's name
        self.calls.call(lambda: self.told.append(json.loads(json.loads(Message)["default"])))

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

    def _ends(self, run_id: str) -> None:
        """Let a trial end, and EC2 and CloudFormation tell of it, perhaps twice."""
        self.spent += self.stacks.pop(run_id)
        self.standing -= self.worst[run_id]
        for _ in range(1 + (self.chance.random() < 0.1)):
            if self.chance.random() >= self.rate:
                self._reaps_by(lambda: self._tell_of(run_id))

    def _tell_of(self, run_id: str) -> None:
        run = self.ledger.read("job", run_id)  # as `Recorder.is_of`
        assert run is not None
        assert run.trial is not None
        number = run.trial[1]
        # Of one in ten nobody knows what it has cost.
        cost = self.cost[run_id] / MICROS if number % 10 else None
        outcome: Any = {
            **{"schema": 2, "run-id": run_id, "job": "job", "state": "succeeded", "reason": ""},
            **{"ended-by": "trainer", "exit-status": 0, "cost-usd": cost, "warnings": []},
            **{"machine": "AROAEXAMPLE:i-0123456789abcdef0", "instance-id": "i-0123456789abcdef0"},
            **{"instance-type": "t3.medium", "zone": "us-east-1a", "trainer-seconds": 1.0},
            **{"booted": NOW.isoformat(), "started": NOW.isoformat(), "finished": NOW.isoformat()},
            "metrics": {"accuracy": number % 97},
        }
        self.recorder.tell(run.tags, outcome)

    def _sweep_later(self) -> None:
        self._later(SWEEP.total_seconds(), self._sweeps)

    def _sweeps(self) -> None:
        self._sweep_later()
        self._reaps_by(self._sweep)

    def _sweep(self) -> None:
        """Do what a sweep does about open runs, as far as the ledger goes, then about grids."""

        def careful(_: str, do: Callable[[], Any]) -> None:
            with contextlib.suppress(*_FAILED):
                do()

        open_runs, problems = self.ledger.open_runs()
        assert problems == []
        for run in open_runs:
            careful("", lambda run=run: self._settle(run))  # type: ignore[misc]
        careful("", lambda: self._count(open_runs))
        self.reaper.sweep(careful)

    def _count(self, open_runs: list[RunRecord]) -> None:
        known = {run.name for run in open_runs if run.outcome is None}
        for name, holder in Slots(self.table).holders().items():
            if holder in known and holder.partition("/")[2] in self.stacks:
                continue
            held = self.ledger.read(*holder.split("/"))
            if held is None or not held.is_open or held.outcome is not None:
                Slots(self.table).give_back(name, holder)

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
            self._tell_of(run.run_id)
        elif step is Step.LOOK:
            if self.ledger.hold(run, State.QUEUED, "its launch died"):
                Slots(self.table).give_back(str(run.receipt.get("stack-name")), run.name)
        elif step in (Step.CONCLUDE, Step.TELL):
            self._tell_of(run.run_id)


def _none() -> Any:
    raise AssertionError("nobody reaches DynamoDB")


def spec(count: int, **more: Any) -> dict[str, Any]:
    return {"parameters": {"seed": f"1..{count}"}, "metric": "accuracy", **more}


def faults_of(sim: Sim) -> Iterator[str]:
    """Yield what is wrong with a grid that is over, whatever its trials came to."""
    grid, count = sim.record(), sim.grid.count
    runs = {grid.run_id(number) for number in range(1, count + 1)}
    if twice := {run: stacks for run, stacks in sim.made.items() if stacks > 1}:
        yield f"made more than once: {twice}"
    if strange := sim.made.keys() - runs:
        yield f"no trials of the grid: {strange}"
    if grid.ended.get("succeeded", 0) != len(sim.made):
        yield f"{len(sim.made)} trials ran, and the grid says {grid.ended}"
    if not grid.stop and grid.over != count:
        yield f"{count - grid.over} of {count} trials are lost: {grid.ended}"
    if (grid.running, grid.is_open) != ({}, False) or grid.committed != grid.spent:
        yield f"under way for ever: {grid.running}, ${grid.committed - grid.spent} reserved"
    if grid.limit is not None and max(sim.most, grid.spent) > grid.limit:
        yield f"{sim.most} could be spent, and the limit is {grid.limit}"
    if sim.most_stacks > min(sim.room, grid.grid.max_parallel):
        yield f"{sim.most_stacks} stacks stood at once"
    best = max((sim_number(grid, run) % 97 for run in sim.made), default=None)
    if (grid.best.value if grid.best else None) != best:
        yield f"the best is {grid.best}, and should be {best}"
    if held := Slots(sim.steady).holders():
        yield f"room is held by {held}"
    if left := Ledger(sim.steady).open_runs()[0]:
        yield f"open for ever: {[(run.name, run.state) for run in left]}"
    ends = [told for told in sim.told if told["event"] == "grid-ended"]
    if not ends or any(total(told) != count for told in ends):
        yield f"its end was told so: {ends}"


def sim_number(grid: GridRecord, run_id: str) -> int:
    """Return which trial a run is."""
    return int(run_id.rpartition("-")[2], 16) - int(grid.run_id(0).rpartition("-")[2], 16)


def total(told: dict[str, Any]) -> int:
    """Return how many trials a notice tells of."""
    return int(sum(told["ended"].values()) + told["not-begun"])
