"""A fault in any call with which a run gets its next machine, then clean sweeps."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from parris.aws.slots import Slots, sums_of
from parris.contract import State
from parris.errors import ParrisError
from tests.faults.case import Case
from tests.faults.injector import Death, Injector
from tests.reap_world import machine_event, stack_event
from tests.runs_world import Runs, interrupted, refuse

STOPPED = ("no next machine", "no next machine, its end")
REFUSED = "machine refused"
AFTER_REFUSAL = "next stack"
SCENES = (
    *("machine taken", "machine taken, by a sweep", "next machine", "next machine, budgeted"),
    *STOPPED,
    REFUSED,
    AFTER_REFUSAL,
)
"""What the fault strikes: the reap function as it hears of the end, or the launch function; of a
run that is to stop, the launch function or the reap function as that hears of it; of a machine that
EC2 refused, the reap function as it hears that its stack is gone, or the launch that makes the
next one."""

_EXPECTED = (Death, ParrisError, ClientError, BotoCoreError)


def set_up(name: str, config: Config | None, patch: pytest.MonkeyPatch) -> Callable[[Case], Case]:
    """Bring a run to the act that a fault strikes; return what goes on from there.

    Args:
        patch: of what moto cannot say; undone when the world is.
    """
    runs = Runs(config)
    runs.budget = Decimal(100) if "budgeted" in name else None
    act: Callable[[], Any] = partial(runs.deliver, 10.1)
    if name in STOPPED:
        run_id, first = interrupted(runs)
        late = machine_event(first)
        runs.ask_to_stop(run_id)
        if "its end" in name:
            runs.deliver(10.1)
            act = partial(runs.end_refused, 10.1)
    elif name.startswith("next machine"):
        run_id, first = interrupted(runs)
        late = machine_event(first)
    elif name in (REFUSED, AFTER_REFUSAL):
        run_id = runs.begin()
        late = stack_event(runs.stack()["StackId"], "parris-reap-20261124T120100000000")
        refuse(patch, "There is no Spot capacity available that matches your request.")
        runs.reap(9)
        act = partial(runs.reap, 10, late)
        if name == AFTER_REFUSAL:
            act()
            act = partial(runs.deliver, 10.1)
    else:
        run_id = runs.begin()
        late = machine_event(runs.machine(run_id))
        runs.take(late["detail"]["instance-id"])
        act = partial(runs.reap, 10, None if "sweep" in name else late)
    runs.starts_machines = True  # from now on
    return partial(_play, runs, run_id, act, late)


def _play(
    runs: Runs, run_id: str, act: Callable[[], Any], late: dict[str, Any], case: Case
) -> Case:
    """Take a run's machine with a fault, then deliver and sweep without; judge what is left.

    Args:
        late: the event of the machine's end, or its stack's, which comes again and again.
    """
    injector = Injector(runs.clients, case.target, case.kind)
    with injector.at_work(), contextlib.suppress(*_EXPECTED):
        act()
    case.calls, case.injected = injector.calls, injector.injected
    for minutes in (10.5, 13, 15, 18, 20, 25, 70):
        for do in (
            lambda at: runs.reap(at),
            lambda at: runs.deliver(at + 0.1),
            lambda at: runs.end_refused(at + 0.2),
        ):
            try:
                do(minutes)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault of ours
                case.violations.append(f"at {minutes} min: {error!r}")
        runs.reap(minutes + 0.3, late)
    judge = _judge_stopped if case.name in STOPPED else _judge
    case.violations += judge(runs, run_id)
    return case


def _judge_stopped(runs: Runs, run_id: str) -> Iterator[str]:
    record = runs.record(run_id)
    stands = (record.state, record.is_open, len(record.attempts))
    if stands != (State.STOPPED, False, 1):
        yield f"the record says {stands}"
    if runs.stacks():
        yield f"a stack is left: {runs.stacks()[0]['StackStatus']}"
    if not any(name.endswith(f"{run_id}/outcome.json") for name in runs.objects()):
        yield "the run has no outcome"
    elif [one["number"] for one in runs.outcome(run_id)["attempts"]] != [1]:
        yield f"its outcome says {runs.outcome(run_id)}"
    told = len(runs.topic.heard("stopped"))
    if not 1 <= told <= 2:
        yield f"its end was told {told} times"


def _judge(runs: Runs, run_id: str) -> Iterator[str]:
    record, receipt = runs.record(run_id), runs.receipt(run_id)
    if not runs.stacks():
        yield f"no stack stands; the record says {record.state}: {record.reason}"
        return
    stands = (record.state, record.receipt.get("attempt"), len(record.attempts), record.next)
    if stands != (State.ACCEPTED, 2, 1, None):
        yield f"the record says {stands}"
    if (receipt["attempt"], runs.attempt()) != (2, "2"):
        yield f"run.json says attempt {receipt['attempt']}, the stack {runs.attempt()}"
    events = runs.cloudformation.describe_stack_events(StackName="one")["StackEvents"]
    begun = Counter(
        event["ResourceStatus"]
        for event in events
        if event["PhysicalResourceId"] == event["StackId"]
    )
    if begun["UPDATE_IN_PROGRESS"] > 1 or begun["CREATE_IN_PROGRESS"] != 1:
        yield f"the stack was made and changed {dict(begun)}"
    known = sums_of(Slots(runs.table).held(), "2026-11")
    if runs.budget is not None and (known is None or (known.spent, known.runs) != (0, 1)):
        yield f"the month has {known}"
    told = len(runs.topic.heard("relaunching"))
    if not 1 <= told <= 2:
        yield f"the loss was told {told} times"
    if any(name.endswith(f"{run_id}/outcome.json") for name in runs.objects()):
        yield "the run has an outcome"
