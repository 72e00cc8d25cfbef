"""What of the deployment itself stands in the way of a run: slots, its stack's name, a queue."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

from parris.aws.queue import Waiting
from parris.aws.stacks import StackCall, stack_tags, why_not_replace
from parris.aws.table import Item
from parris.launch.commit import between_machines, replaces
from parris.launch.room import too_many
from parris.runs.plan import RunPlan
from parris.runs.record import RunRecord
from scripts.planning.reading import Reading, heard


@dataclass(frozen=True, kw_only=True)
class Room:
    """What a run would meet."""

    held: int | None
    """How many runs count; None if nobody was allowed to look."""
    limit: int
    stack: str | None
    """State of the stack that has the run's name."""
    waiting: str | None
    """The run that waits for that name."""
    problems: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What needs no run to be asked."""

    held: Future[Item]
    waiting: Future[list[Waiting]]


def ask(pool: Executor, reading: Reading) -> Asked:
    return Asked(held=pool.submit(reading.held), waiting=pool.submit(reading.waiting))


def meet(
    pool: Executor, reading: Reading, run: RunPlan, asked: Asked
) -> Callable[[list[str]], Room]:
    """Ask for the stack of a run's name; return what gives the answer.

    That takes a list for lines on what AWS does not let these credentials ask.
    """
    stacking = pool.submit(reading.stack, run.stack_name)

    def met(notes: list[str]) -> Room:
        item = heard(asked.held, "the slots", notes)
        held = None if item is None else dict(item.get("holders", {}))
        waiting = heard(asked.waiting, "the queue", notes) or []
        stack = heard(stacking, "the stack's name", notes)
        before: RunRecord | None = None
        if held and run.stack_name in held:
            job, _, run_id = held[run.stack_name].partition("/")
            before = heard(pool.submit(reading.ledger.read, job, run_id), "the run", notes)
        schedules = reading.deployment.schedules
        return judge(
            run,
            held=held,
            limit=reading.settings.max_concurrent_runs,
            stack=stack,
            before=before,
            waiting=waiting,
            schedules=schedules,
        )

    return met


def judge(
    run: RunPlan,
    *,
    held: Mapping[str, str] | None,
    limit: int,
    stack: Mapping[str, Any] | None,
    before: RunRecord | None,
    waiting: Sequence[Waiting],
    schedules: Mapping[str, Mapping[str, Any]],
) -> Room:
    """Return what a run meets, as its launch would judge it (launch/commit.py, aws/stacks.py).

    Args:
        held: who counts, by the name of the stack; None if nobody knows.
        stack: the one that has the run's name.
        before: the run that has room by that name.
        waiting: the launches that wait.
        schedules: of the deployment, by name.
    """
    name = run.stack_name
    problems: list[str] = []
    notes: list[str] = []
    if held is not None and name not in held and len(held) >= limit:
        problems.append(too_many(held, limit))
    refusal = _of_stack(run, stack) or (
        str(found) if not replaces(run) and (found := between_machines(before, name)) else None
    )
    if refusal:
        problems.append(refusal)
        notes += _of_schedules(run.job, schedules)
    elif stack is not None:
        notes.append(f"stack {name} and whatever it runs would be replaced (stack-replacement)")
    waits = next((one.run_id for one in waiting if one.stack_name == name), None)
    if waits:
        notes.append(f"run {waits} waits for stack {name}, and would find this run there")
    return Room(
        held=None if held is None else len(held),
        limit=limit,
        stack=str(stack["StackStatus"]) if stack else None,
        waiting=waits,
        problems=tuple(problems),
        notes=tuple(notes),
    )


def _of_stack(run: RunPlan, stack: Mapping[str, Any] | None) -> str | None:
    if stack is None:
        return None
    call = StackCall(
        name=run.stack_name,
        run_id=run.run_id,
        attempt=run.attempt,
        deployment=run.deployment,
        template="",
        parameters={},
        tags={},
        role_arn="",
        resource_types=(),
    )
    return why_not_replace(stack["StackStatus"], stack_tags(stack), call, replace=replaces(run))


_OVERLAPS = {
    "skip": "would skip this time",
    "replace": "would replace it",
    "queue-one": "would wait for it",
}


def _of_schedules(job: str, schedules: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [
        f"schedule {name} {_OVERLAPS[schedule['overlap']]} (overlap {schedule['overlap']})"
        for name, schedule in sorted(schedules.items())
        if schedule.get("job") == job and schedule.get("overlap") in _OVERLAPS
    ]
