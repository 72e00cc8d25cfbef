"""The newest runs of a deployment, from its ledger: as many calls for ten runs as for ten thousand.

The calls are one listing of the stacks, one or two queries, and one look at the machines. A run of
which those do not tell all costs a few more: one whose machine is gone and whose end is not
written down yet, which is a matter of seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parris.aws.stacks import stack_tags
from parris.contract import State
from parris.runs.record import RunRecord
from scripts.deployment.outputs import Deployment
from scripts.deployment.receipts import sound
from scripts.deployment.runs import Run, ledger_of, list_run_keys, look, make_run, read_runs

LOOKED_THROUGH = 10
"""Times the runs asked for: so many launches are looked through at most to find them."""


@dataclass(frozen=True, kw_only=True)
class Newest:
    """The newest runs, and the launches among them that were refused, each the newest first."""

    runs: list[Run]
    refused: list[Run]
    more: bool
    """Whether there are older ones."""
    problems: list[str]
    """What is wrong with items of the ledger that hold no run."""


def read_newest(
    deployment: Deployment, job: str | None, stacks: Sequence[Mapping[str, Any]], count: int
) -> Newest:
    """Return the newest `count` runs, of `job` where given.

    A launch that was refused is a run in the ledger too; a hundred of them must not hide the run
    that they wanted to replace. So many of them are looked through, and no more.
    """
    ledger = ledger_of(deployment)
    held = {stack_tags(stack).get("parris:run-id") for stack in stacks}
    for limit in (2 * count, LOOKED_THROUGH * count):
        records, problems = ledger.newest(limit + 1, job)
        looked = records[:limit]
        wanted = [one for one in looked if not _is_refused(one, held)][:count]
        whole = len(records) + len(problems) <= limit
        if len(wanted) == count or whole:
            break
    last = wanted[-1].run_id if len(wanted) == count else ""
    refused = [one for one in looked if _is_refused(one, held) and one.run_id >= last]
    shown = len(wanted) + len(refused)
    older: list[Run] = []
    if whole and len(wanted) < count and ledger.adopted_after() is not None:
        known = {(one.job, one.run_id) for one in records}
        keys = [key for key in list_run_keys(deployment, job) if key not in known]
        older = read_runs(deployment, keys[: count - len(wanted)], stacks)
    return Newest(
        runs=[*with_stacks(deployment, wanted, stacks), *older],
        refused=with_stacks(deployment, refused, stacks),
        more=not whole or len(records) > shown,
        problems=problems,
    )


def _is_refused(record: RunRecord, held: set[str | None]) -> bool:
    """Return whether nothing of a launch ever came to exist."""
    if record.outcome is not None or record.stack_id or record.run_id in held:
        return False
    return record.state in (State.LAUNCH_FAILED, State.SKIPPED)


def with_stacks(
    deployment: Deployment, records: Sequence[RunRecord], stacks: Sequence[Mapping[str, Any]]
) -> list[Run]:
    """Return the runs of `records`, with what their stacks and machines say."""
    standing = look(deployment, stacks, {one.run_id for one in records if one.outcome is None})
    return [
        make_run(
            deployment,
            (one.job, one.run_id),
            sound(one.known, f"run {one.run_id} in the ledger"),
            one.outcome,
            standing,
        )
        for one in records
    ]
