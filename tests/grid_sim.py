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
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from botocore.exceptions import BotoCoreError, ClientError

from parris.aws.grids import Grids
from parris.aws.histories import Histories
from parris.aws.ledger import Ledger
from parris.aws.slots import Slots
from parris.aws.stacks import StackCall, list_stacks, stack_of_run, start_stack
from parris.aws.table import Item, to_text
from parris.aws.told import Told
from parris.aws.topic import Notifier
from parris.contract import State
from parris.errors import LaunchUnclear, NoRoom, ParrisError
from parris.events.router import grid_event, is_trial, read_request
from parris.jobs.grid import read_grid
from parris.launch.claim import claim_run
from parris.launch.trial import Place, comes_again
from parris.reap.dead_launches import DeadLaunches
from parris.reap.early import EarlyStops
from parris.reap.grids import GridReaper
from parris.reap.money import Money
from parris.reap.open_runs import OpenRuns
from parris.reap.recorder import Recorder
from parris.runs.grid import GridRecord
from parris.runs.month import MICROS
from parris.runs.names import run_prefix, trial_stack_name
from parris.runs.receipt import receipt
from parris.runs.record import RunRecord
from parris.runs.times import iso
from tests.faults.chance import Chance
from tests.faults.injector import Death
from tests.grid_cloud import DEPLOYMENT, Cloud
from tests.metered_table import Meter, MeteredTable
from tests.plans import NOW, plan

GRID_ID = "20261124-110000-97811d3c"
SWEEP = timedelta(minutes=10)
LASTS = timedelta(seconds=40)
"""How long a function lasts at most: less than half of what a launch's claim holds."""
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

    def delete(self, *given: Any, **values: Any) -> bool:
        self.meanwhile()
        delete = super().delete
        return self.chance.call(lambda: delete(*given, **values))

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
        self.until = NOW
        """When the first of them ends at the latest."""
        self.cloud: Any = Cloud(chance=self.calls, began=self._begins)
        self.worst: dict[str, int] = {}
        """What the last launch of each run reserved, in millionths of a US dollar."""
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
        """Let others go on between two calls, one or a few, if they have something to do soon."""
        part = self.overlap if self.depth < 3 else 0
        while part and self.chance.random() < part and self.agenda[0][0] <= self.until:
            self._step()
            part = 0.5

    def _survives(self, act: Callable[[], None]) -> bool:
        """Be a function from its beginning to its end; return whether that is a good one."""
        if not self.depth:
            self.until = self.now + LASTS
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
            partial(stack_of_run, self.cloud),
            lambda run_id: self.cloud.has_begun(run_prefix("job", run_id)),
        )
        if not ours:
            return
        assert request.trial is not None
        stack_name = trial_stack_name("stack", GRID_ID, request.trial.number)
        known: Any = {"run-id": record.run_id, "job": record.job, "stack-name": stack_name}
        planned: Any = {**_PLANNED, **known, "parameters": event["parameters"]}
        worst = self.worst[record.run_id] = self.chance.randint(CHEAPEST, DEAREST)
        reserves: Any = SimpleNamespace(request=request, reserved_usd=worst / MICROS)
        place, granted = Place(self.table, record, reserves), False
        try:
            if not self.ledger.plan(record, planned):
                raise LaunchUnclear("another launch has taken the run over")
            place.take(reserves)
            granted = Slots(self.table).take(stack_name, record.name, self.room).granted
            if not granted:
                raise NoRoom("others are under way")
            stack_id = start_stack(self.cloud, _call(record, stack_name), replace=False)
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
            self.ledger.note_stack(record, stack_id, planned)
            self.ledger.accept(record)

    def _begins(self, run_id: str) -> None:
        """Let a run cost something, and end some time."""
        self.made[run_id] = self.made.get(run_id, 0) + 1
        worst = self.worst[run_id]
        self.standing += worst
        self.most = max(self.most, self.spent + self.standing)
        self.most_stacks = max(self.most_stacks, len(self.cloud.standing))
        cost = self.chance.randint(1_000, worst)
        self._later(self.chance.randint(*self.lasts), lambda: self._ends(run_id, worst, cost))

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
            early=EarlyStops(histories=Histories(self.table), now=self.now),
            now=self.now,
        )

    def _publish(self, *, Message: str, **_: Any) -> None:  # noqa: N803 - boto3's name
        self.calls.call(lambda: self.told.append(json.loads(json.loads(Message)["default"])))

    @property
    def recorder(self) -> Recorder:
        nothing: Any = None
        return Recorder(
            storage=self.cloud,
            ledger=self.ledger,
            cloudformation=self.cloud,
            ec2=nothing,
            notifier=nothing,
            money=Money(ledger=self.ledger, notifier=nothing, now=self.now, budget_usd=None),
            bills=nothing,
            grids=self.reaper,
            now=self.now,
        )

    def _ends(self, run_id: str, worst: int, cost: int) -> None:
        """Let a trial end, and EC2 tell of it, perhaps twice."""
        number = number_of(self.record(), run_id)
        outcome = {
            **{"schema": 2, "run-id": run_id, "job": "job", "state": "succeeded", "reason": ""},
            **{"ended-by": "trainer", "exit-status": 0, "warnings": [], "trainer-seconds": 1.0},
            # Of one in ten nobody knows what it has cost.
            "cost-usd": cost / MICROS if number % 10 else None,
            **{"machine": "AROAEXAMPLE:i-0123456789abcdef0", "instance-id": "i-0123456789abcdef0"},
            **{"instance-type": "t3.medium", "image": "ami-0123456789abcdef0", "zone": ""},
            **{"booted": iso(NOW), "started": iso(NOW), "finished": iso(NOW)},
            "metrics": {"accuracy": number % 97},
        }
        self.spent, self.standing = self.spent + cost, self.standing - worst
        stack_name = trial_stack_name("stack", GRID_ID, number)
        self.cloud.end(stack_name, run_prefix("job", run_id), outcome)
        for _ in range(1 + (self.chance.random() < 0.1)):
            if self.chance.random() >= self.rate:
                self._reaps_by(lambda: self._hears_of(run_id, outcome))

    def _hears_of(self, run_id: str, outcome: Any) -> None:
        tags = {"parris:job": "job", "parris:run-id": run_id}
        stack: Any = {"StackId": f"arn:stack/{run_id}"}
        if self.recorder.is_of(tags, stack):
            self.recorder.tell(tags, outcome)

    def _sweep_later(self) -> None:
        self._later(SWEEP.total_seconds(), self._sweeps)

    def _sweeps(self) -> None:
        self._sweep_later()
        self._reaps_by(self._sweep)

    def _sweep(self) -> None:
        """Do what a sweep does, once it has looked at the stacks one by one (reap/reconcile.py)."""

        def careful(_: str, do: Callable[[], Any]) -> None:
            with contextlib.suppress(*_FAILED):
                do()

        nothing: Any = None
        stacks = list_stacks(self.cloud, DEPLOYMENT)
        open_runs = OpenRuns(
            ledger=self.ledger,
            storage=self.cloud,
            cloudformation=self.cloud,
            recorder=self.recorder,
            launches=self.reaper.launches,
            dead_launches=DeadLaunches(
                ledger=self.ledger,
                storage=self.cloud,
                cloudformation=self.cloud,
                ec2=nothing,
                recorder=self.recorder,
                deployment=DEPLOYMENT,
                now=self.now,
            ),
            between=nothing,
            now=self.now,
        )
        careful("", lambda: open_runs.settle(stacks, {}, careful))


def _call(record: RunRecord, stack_name: str) -> StackCall:
    return StackCall(
        name=stack_name,
        run_id=record.run_id,
        attempt=1,
        deployment=DEPLOYMENT,
        template="{}",
        parameters={},
        tags={**record.tags, "parris:deployment": DEPLOYMENT, "parris:deadline": iso(NOW)},
        role_arn="",
        resource_types=(),
    )


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
    best = max((number_of(grid, run) % 97 for run in sim.made), default=None)
    if (grid.best.value if grid.best else None) != best:
        yield f"the best is {grid.best}, and should be {best}"
    if held := Slots(sim.steady).holders():
        yield f"room is held by {held}"
    if left := Ledger(sim.steady).open_runs()[0]:
        yield f"open for ever: {[(run.name, run.state) for run in left]}"
    ends = [told for told in sim.told if told["event"] == "grid-ended"]
    if not ends or any(total(told) != count for told in ends):
        yield f"its end was told so: {ends}"


def given_up(sim: Sim) -> int:
    """Return how many trials never ran: eleven launches in a row failed, were lost, or came late.

    With one call in twenty failing, and room for one run alone, it is one trial in 3,000.
    """
    return sim.record().ended.get(State.LAUNCH_FAILED, 0)


def number_of(grid: GridRecord, run_id: str) -> int:
    """Return which trial a run is."""
    return int(run_id.rpartition("-")[2], 16) - int(grid.run_id(0).rpartition("-")[2], 16)


def total(told: dict[str, Any]) -> int:
    """Return how many trials a notice tells of."""
    return int(sum(told["ended"].values()) + told["not-begun"])
