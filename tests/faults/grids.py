"""A fault in any call with which a grid begins, goes on and ends, then clean sweeps."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from parris.aws.slots import Slots
from parris.errors import ParrisError
from tests.faults.case import Case
from tests.faults.injector import Death, Injector
from tests.grid_world import GridWorld
from tests.reap_world import machine_event

SCENES = ("grid", "its first trials", "a trial", "a trial's end", "a grid, by a sweep")
"""What the fault strikes: the launch function as it begins a grid, the reap function as that begins
its trials, the launch of one, and the reap function at the end of one or at a sweep."""

GRID = {
    **{"parameters": {"lr": [0.1, 0.2]}, "max-parallel": 1, "metric": "accuracy"},
    "cost-limit": 0.1,
}
_EXPECTED = (Death, ParrisError, ClientError, BotoCoreError)


def set_up(name: str, config: Config | None) -> Callable[[Case], Case]:
    """Bring a grid to the act that a fault strikes; return what goes on from there."""
    world = GridWorld(config)
    world.usd = 0.02
    act: Callable[[], Any] = partial(world.begin, GRID)
    if name != "grid":
        act()
        act = world.deliver
        if name in ("a trial", "a trial's end"):
            act()
        if name == "a trial's end":
            act()
            ended = machine_event(world.end_machine(world.grid().run_id(1)))
            act = partial(world.reap, 1, ended)
            world.minutes = 1
        if name == "a grid, by a sweep":
            world.refused.clear()
            world.minutes = 1
            act = partial(world.reap, 1)
    return partial(_play, world, act)


def _play(world: GridWorld, act: Callable[[], Any], case: Case) -> Case:
    """Go on with a grid, with a fault in one act; judge what is left."""
    events = [*world.sent]
    injector = Injector(world.clients, case.target, case.kind)
    with injector.at_work(), contextlib.suppress(*_EXPECTED):
        act()
    case.calls, case.injected = injector.calls, injector.injected
    for do in (*_later(world), *_late(world, events)):
        try:
            do()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault of ours
            case.violations.append(f"at {world.minutes} min: {error!r}")
    case.violations += _judge(world)
    return case


def _later(world: GridWorld) -> Iterator[Callable[[], Any]]:
    """Yield what happens then: the event again, sweeps, what was sent, and trials that end."""
    for _ in range(6):
        world.minutes += 5
        yield partial(world.begin, GRID)
        yield world.settle_down
        yield partial(world.reap, world.minutes)
        yield world.settle_down
        yield partial(_end_all, world)


def _end_all(world: GridWorld) -> None:
    for run_id in world.standing():
        world.train(run_id)


def _late(world: GridWorld, events: list[Any]) -> Iterator[Callable[[], Any]]:
    """Yield late deliveries of what was sent before the fault."""
    world.sent = [*events]
    yield world.settle_down
    world.minutes += 10
    yield partial(world.reap, world.minutes)


def _judge(world: GridWorld) -> Iterator[str]:
    grid = world.grid()
    if (grid.is_open, grid.ended, grid.running) != (False, {"succeeded": 2}, {}):
        yield f"the grid says open: {grid.is_open}, {grid.ended}, {grid.running}, {grid.stop}"
    if not grid.committed == grid.spent == 40_000:
        yield f"{grid.spent} are spent, {grid.committed} with what is reserved"
    if grid.best is None or grid.best.number != 2:
        yield f"the best is {grid.best}"
    made = Counter(
        tag["Value"]
        for one in world.cloudformation.list_stacks()["StackSummaries"]
        for stack in world.cloudformation.describe_stacks(StackName=one["StackId"])["Stacks"]
        for tag in stack["Tags"]
        if tag["Key"] == "parris:run-id"
    )
    if made != {grid.run_id(1): 1, grid.run_id(2): 1}:
        yield f"stacks were made: {dict(made)}"
    if world.stacks():
        yield f"{len(world.stacks())} stacks stand"
    if held := Slots(world.table).holders():
        yield f"room is held by {held}"
    open_runs, problems = world.ledger.open_runs()
    if open_runs or problems:
        yield f"open for ever: {[(run.name, run.state) for run in open_runs]} {problems}"
    told = len(world.topic.heard("grid-ended"))
    if not 1 <= told <= 2:
        yield f"the end of the grid was told {told} times"
