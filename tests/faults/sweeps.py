"""A fault in any call of the reap function, at a sweep and at events, then clean sweeps."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from parris.aws.arrivals import Arrivals, Window
from parris.aws.queue import Queue
from parris.aws.slots import Slots
from parris.errors import ParrisError
from parris.reap.adopt import Adoption
from tests.faults.case import Case
from tests.faults.injector import Death, Injector
from tests.plans import NOW
from tests.reap_world import (
    LONG_AGO,
    World,
    machine_event,
    outcome_key,
    run_id,
    stack_event,
)

ENDS = {
    "overdue": "timed-out",
    "over": "succeeded",
    "vanished": "stopped",
    "kept": "failed",
    "gone": "stopped",
}
"""The runs of the scene that end, and how."""

METRICS = {"loss": 0.5, "epoch": 3}
"""What the machine of the run that goes on says of it."""

SCENES = ("sweep", "machine", "stack")
"""What the reap function is called with when the fault strikes."""


def set_up(_: str, config: Config | None) -> Callable[[Case], Case]:
    """Make runs in every state; return what calls the reap function there."""
    world = World(config)
    keep_tokens(world.cloudformation)
    return partial(_play, world, _make_runs(world))


def _play(world: World, events: dict[str, dict[str, Any]], case: Case) -> Case:
    """Call the reap function with a fault, then let it sweep; judge what is left."""
    injector = Injector(world.clients, case.target, case.kind)
    with injector.at_work(), contextlib.suppress(Death, ParrisError, ClientError, BotoCoreError):
        try:
            world.reap(events[case.name])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            case.violations.append(f"broke: {error!r}")
    case.calls, case.injected = injector.calls, injector.injected
    spared = case.operation.startswith("cloudformation.") or case.kind.startswith("dies")
    if case.name == "sweep" and not spared and "overdue" in world.stacks():
        case.violations.append("what is overdue stands after the sweep")
    # EventBridge delivers an event again; a schedule does not, and the next sweep comes later.
    later = [(1.0, events[case.name])] if case.name != "sweep" else []
    for minutes, event in (*later, *((float(at), {}) for at in (10, 20, 30))):
        try:
            world.reap(event, now=NOW + timedelta(minutes=minutes))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault of ours
            what = "the event" if event else "the sweep"
            case.violations.append(f"{what} at {minutes} min: {error!r}")
    case.violations += _judge(world)
    return case


def _make_runs(world: World) -> dict[str, dict[str, Any]]:
    """Make runs in every state, and return the events of the scenes."""
    live = world.run("live")
    world.write(
        "live", live, json.dumps({"metrics": METRICS, "over": False}).encode(), "metrics.json"
    )
    world.run("overdue", deadline=LONG_AGO)
    over = world.run("over")
    world.end("over", over)
    vanished = world.run("vanished")
    kept = world.run("kept", **{"keep-stack": "always"})
    world.end("kept", kept, state="failed", reason="exit status 1")
    world.run("gone")
    gone = world.stack_id("gone")
    Adoption(ledger=world.ledger, storage=world.storage, now=NOW).go_on()
    world.ec2.terminate_instances(InstanceIds=[vanished, kept])
    world.cloudformation.delete_stack(StackName="gone")
    world.ledger.claim("job", run_id("died"), "nonce", NOW - timedelta(minutes=10))
    Queue(world.ledger.table).wait("free", "job", run_id("waiting"), {"event-id": "waits"})
    waiting, _ = world.ledger.claim("job", run_id("waiting"), "nonce", NOW - timedelta(minutes=10))
    world.ledger.hold(waiting, "queued", "another run is going")
    window = Window(trigger="fresh", name="0" * 16, ends=NOW - timedelta(minutes=5))
    Arrivals(table=world.ledger.table, now=NOW).open(window, None)
    return {
        "sweep": {},
        "machine": machine_event(vanished),
        "stack": stack_event(gone, "parris-clean-stacks-1"),
    }


def keep_tokens(cloudformation: Any) -> None:
    """Let a stack's events say who asked for its deletion, which moto forgets, and when by NOW."""
    tokens: dict[str, str] = {}

    def asked(params: dict[str, Any], **_: Any) -> None:
        tokens[params["StackName"]] = params.get("ClientRequestToken", "")

    def said(parsed: dict[str, Any], **_: Any) -> None:
        for event in parsed.get("StackEvents", []):
            if event["ResourceStatus"] == "DELETE_IN_PROGRESS":
                event["Timestamp"] = NOW
                event["ClientRequestToken"] = tokens.get(event["StackId"], "")

    events = cloudformation.meta.events
    events.register("before-parameter-build.cloudformation.DeleteStack", asked)
    events.register("after-call.cloudformation.DescribeStackEvents", said)


def _judge(world: World) -> Iterator[str]:
    if world.stacks() != {"live", "kept"}:
        yield f"stacks stand: {sorted(world.stacks())}"
    told = Counter(one.get("run-id") for one in world.topic.heard() if one["event"] != "started")
    for name, state in ENDS.items():
        record = world.ledger.read("job", run_id(name))
        if record is None or record.state != state or record.is_open:
            yield f"the record of {name}: {record and (record.state, record.is_open)}"
        with contextlib.suppress(ClientError):
            if world.outcome(name)["state"] != state:
                yield f"{outcome_key(name)} says {world.outcome(name)['state']}"
        if not 1 <= told[run_id(name)] <= 2:
            yield f"the end of {name} was told {told[run_id(name)]} times"
    if not 1 <= told[run_id("died")] <= 2:
        yield f"the launch that died was told {told[run_id('died')]} times"
    live = world.ledger.read("job", run_id("live"))
    if live is None or not live.is_open or told[run_id("live")]:
        yield f"the live run: {live}"
    if live is not None and live.metrics != METRICS:
        yield f"how the live run goes: {live.metrics}"
    if Slots(world.ledger.table).holders() != {"live": f"job/{run_id('live')}"}:
        yield f"room is held by {Slots(world.ledger.table).holders()}"
    sent = [event.get("event-id") or event.get("window") for event in world.functions.sent]
    if {"waits", "0" * 16} - set(sent):
        yield f"sent again: {sent}"
