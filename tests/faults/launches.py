"""A fault in any call of a launch, for every kind of event, with redeliveries and sweeps."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from parris.aws.queue import Queue
from parris.aws.slots import Slots, sums_of
from parris.errors import LaunchUnclear, ParrisError
from parris.runs.month import MICROS, Sums, real_micros, to_micros
from parris.runs.record import RunRecord
from tests.faults.case import Case
from tests.faults.injector import Death, Injector
from tests.world import World

LATER = (0, 3, 60)
"""Minutes after which the event comes again."""

_MOMENT = {"traceid": "one", "timestamp": 1795521600000}
_QUEUED = {"rule": "schedule", "schedule": "n", "event-id": "second", "overlap": "queue-one"}
_TIMES = ("2026-11-24T10:00:00Z", "2026-11-24T11:00:00Z")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of event, and the world into which it comes."""

    event: dict[str, Any]
    before: Callable[[World], object] = lambda _: None
    again: tuple[float, ...] = LATER
    """Minutes after which it comes again."""
    budget: Decimal | None = None
    """Of the month, in US dollars."""


def _first(world: World) -> None:
    world.launch({**_QUEUED, "event-id": "first", "time": _TIMES[0]}, minutes=-60)


def _turn(world: World) -> None:
    _first(world)
    world.launch({**_QUEUED, "time": _TIMES[1]}, minutes=-30)
    world.cloudformation.delete_stack(StackName="one")
    world.reap(minutes=-20)


def _came(world: World) -> None:
    world.launch(_ARRIVAL, minutes=-1)


_ARRIVAL = {
    **{"rule": "data", "data-trigger": "fresh", "key": "in/a", "version": "v1"},
    **{"sequencer": "1", "time": "2026-11-24T12:00:00Z"},
}
_END = {
    **{"rule": "window", "data-trigger": "fresh", "time": "2026-11-24T12:00:00Z"},
    "window": "f5577f41f66337d3",
}

KINDS = {
    "direct": Kind(event={"event-id": "e", "time": _TIMES[1]}),
    "never again": Kind(event={"event-id": "e", "time": _TIMES[1]}, again=()),
    "without a time": Kind(event={"event-id": "e"}),
    "schedule": Kind(event={**_QUEUED, "time": _TIMES[1]}),
    "button": Kind(event={"rule": "button", "payload": "e30=", "serial": "G030", **_MOMENT}),
    "device": Kind(
        event={"rule": "device", "payload": "e30=", "job": "default", "topic": "x/y", **_MOMENT}
    ),
    "held back": Kind(event={**_QUEUED, "time": _TIMES[1]}, before=_first),
    "its turn": Kind(event={**_QUEUED, "time": _TIMES[1]}, before=_turn),
    "with a budget": Kind(event={"event-id": "e", "time": _TIMES[1]}, budget=Decimal(100)),
    "never again, with a budget": Kind(
        event={"event-id": "e", "time": _TIMES[1]}, again=(), budget=Decimal(100)
    ),
    "its turn, with a budget": Kind(
        event={**_QUEUED, "time": _TIMES[1]}, before=_turn, budget=Decimal(100)
    ),
    "arrival": Kind(event=_ARRIVAL),
    "window": Kind(event=_END, before=_came),
}


def set_up(name: str, config: Config | None) -> Callable[[Case], Case]:
    """Make the world of an event; return what delivers it there."""
    kind, world = KINDS[name], World(config)
    world.budget, world.starts_machines = kind.budget, True
    kind.before(world)
    return partial(_play, kind, world)


def _play(kind: Kind, world: World, case: Case) -> Case:
    """Deliver an event with a fault, then again without one, with sweeps; judge what is left."""
    injector = Injector(world.clients, case.target, case.kind)
    _deliver(case, world, kind.event, 0, injector)
    case.calls, case.injected = injector.calls, injector.injected
    for minutes in kind.again:
        _deliver(case, world, kind.event, minutes)
        _sweep(case, world, minutes + 0.5)
        _send(case, world, minutes + 1)
    if case.name == "held back":
        world.cloudformation.delete_stack(StackName="one")
    for minutes in (70, 80, 90, 100):
        _sweep(case, world, minutes)
        _send(case, world, minutes + 1)
    if kind.again or world.stacks():
        case.violations += _judge(world)
    else:
        case.violations += _judge_nothing(case, world)
    return case


def _deliver(
    case: Case, world: World, event: Any, minutes: float, injector: Injector | None = None
) -> None:
    failing = injector is not None
    before = {stack["StackId"] for stack in world.stacks()}
    try:
        with injector.at_work() if injector else contextlib.nullcontext():
            world.launch(event, minutes=minutes)
    except Death:
        pass
    except LaunchUnclear:
        if not failing:
            case.violations.append(f"unclear without a fault, at {minutes} min")
    except (ParrisError, ClientError, BotoCoreError) as error:
        case.refused = True
        # Whoever hears of it is told that nothing was launched.
        new = {stack["StackId"] for stack in world.stacks()} - before
        if new:
            case.violations.append(f"told {error!r} though there is a stack")
        if not failing:
            case.violations.append(f"{error!r} without a fault, at {minutes} min")
    except Exception as error:  # noqa: BLE001 - whatever else is a fault of ours
        case.violations.append(f"broke: {error!r}")


def _sweep(case: Case, world: World, minutes: float) -> None:
    try:
        world.reap(minutes=minutes)
    except Exception as error:  # noqa: BLE001 - as above
        case.violations.append(f"the sweep at {minutes} min: {error!r}")


def _send(case: Case, world: World, minutes: float) -> None:
    """Deliver what the sweep has sent to the launch function."""
    sent, world.sent = world.sent, []
    for event in sent:
        _deliver(case, world, event, minutes)


def _judge(world: World) -> Iterator[str]:
    made = Counter(
        tag["Value"]
        for stack in _all_stacks(world)
        for tag in stack["Tags"]
        if tag["Key"] == "parris:run-id"
    )
    for run_id, count in made.items():
        if count > 1:
            yield f"run {run_id} has had {count} stacks"
    stacks = world.stacks()
    if len(stacks) != 1:
        yield f"{len(stacks)} stacks stand"
        return
    run_id = next(tag["Value"] for tag in stacks[0]["Tags"] if tag["Key"] == "parris:run-id")
    record, receipt = world.record(run_id), world.receipt(run_id)
    if (record.state, record.is_open) != ("accepted", True):
        yield f"the record says {record.state}, open: {record.is_open}"
    if (receipt["state"], receipt.get("stack-id")) != ("accepted", stacks[0]["StackId"]):
        yield f"run.json says {receipt['state']}, {receipt.get('stack-id')}"
    if Slots(world.table).holders() != {"one": record.name}:
        yield f"room is held by {Slots(world.table).holders()}"
    told = [one for one in world.topic.heard("started") if one["run-id"] == run_id]
    if not 1 <= len(told) <= 2:
        yield f"its start was told {len(told)} times"
    if Queue(world.table).waiting() != ([], []):
        yield "something waits for ever"
    yield from _judge_month(world, [record])


def _judge_month(world: World, live: Sequence[RunRecord]) -> Iterator[str]:
    """Yield what is wrong with the month's sum: what live runs may cost, and others have."""
    if world.budget is None:
        return
    item, month = Slots(world.table).held(), "2026-11"
    known = sums_of(item, month) or Sums(month=month, spent=0, reserved=0, runs=0)
    receipts = [world.receipt(record.run_id, record.job) for record in live]
    reserved = sum(to_micros(receipt["reserved-usd"]) for receipt in receipts)
    if (known.reserved, known.runs) != (reserved, len(live)):
        yield f"the month has {known}, {reserved} of {len(live)} live runs"
    over = [run for run in world.ledger.newest(20)[0] if run.outcome is not None]
    spent = sum(real_micros(run.outcome, MICROS) for run in over)
    if known.spent != spent:
        yield f"the month has {known}, and {spent} was spent"


def _judge_nothing(case: Case, world: World) -> Iterator[str]:
    """Yield what is wrong where nothing was launched, and nobody asked again."""
    if Slots(world.table).holders():
        yield f"room is held by {Slots(world.table).holders()}"
    yield from _judge_month(world, [])
    open_runs, problems = world.ledger.open_runs()
    if open_runs or problems:
        yield f"open for ever: {[(run.name, run.state) for run in open_runs]} {problems}"
    # The claim goes beside other calls: who died before it was sent has left nothing to tell of.
    claimed = any(world.table.query("run#default"))
    untold = claimed and not world.topic.heard("launch-failed")
    if untold and not case.refused and case.kind != "dies-before":
        yield "nobody was told"


def _all_stacks(world: World) -> list[Any]:
    """Return the stacks that stand and those that are gone, with their tags."""
    found = world.cloudformation.list_stacks()["StackSummaries"]
    return [
        world.cloudformation.describe_stacks(StackName=one["StackId"])["Stacks"][0] for one in found
    ]
