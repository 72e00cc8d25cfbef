"""List runs and stacks, or show one run in full: `parris status`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from parris.aws.stacks import stack_tags
from parris.contract import State
from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.cli.columns import Column
from scripts.cli.plain_text import one_line
from scripts.cli.verbs_of_runs import MAX_COUNT
from scripts.cli.which_cloud import hint
from scripts.cli.words import ago, counted
from scripts.deployment.machines import find_machine
from scripts.deployment.metrics import metrics_line
from scripts.deployment.newest import read_newest
from scripts.deployment.one_run import cost_of, describe
from scripts.deployment.outputs import Deployment, read_deployment
from scripts.deployment.runs import Run, find_run, list_stacks


def main(argv: list[str]) -> int:
    """List the newest runs with their states and reasons, and the stacks that stand; or one run."""
    options = parse("status", argv)
    deployment = read_deployment()
    if options.run:
        _show_one(deployment, find_run(deployment, options.job or None, options.run), options.json)
        return 0
    stacks = list_stacks(deployment)
    newest = read_newest(deployment, options.job or None, stacks, options.count)
    runs, refused = newest.runs, newest.refused
    for problem in newest.problems:
        print(one_line(f"note: an item of the ledger holds no run: {problem}"), file=sys.stderr)
    if options.json:
        console.print_json(
            {
                "runs": [_plain(run) for run in runs],
                "refused": [_plain(run) for run in refused],
                "stacks": [_plain_stack(s) for s in stacks],
            }
        )
        return 0
    whole = True
    if runs:
        whole = console.print_table(*_table(runs, datetime.now(UTC)))
    elif newest.more:
        print(hint(_hidden(options.job, len(refused), options.count)))
    else:
        of = f" of job {options.job}" if options.job else ""
        print(hint(f"no run{of} yet; {_first(options.job)} starts the first"))
    if newest.more and runs:
        print(hint(f"older runs are not shown; {_more(options.job, options.count)} shows some"))
    for line in refusals(refused, datetime.now(UTC)):
        print(one_line(line))
    if not whole:
        print(hint(f"make status RUN={runs[0].run_id} shows a run in full"))
    over = [run for run in runs if run.is_over and run.stack is not None]
    if over:
        stands = "stack of a run that is over still stands"
        stand = "stacks of runs that are over still stand"
        removes = "make clean-stacks removes " + ("it" if len(over) == 1 else "them")
        print(hint(f"{counted(len(over), stands, stand)}; {removes}"))
    return 0


_METRICS_WIDTH = 40
"""Characters of a run's metrics in the table; `make status RUN=` shows more of them."""

_TIMES = 5
"""So many times more runs are what is asked for next."""

_METRICS = Column(heading="METRICS", rank=5)
"""Of runs that go on; it is not there while none of them has told any."""

_COLUMNS = (
    Column(heading="RUN", rank=0),
    Column(heading="JOB", rank=1),
    Column(heading="STATE", rank=0),
    Column(heading="ENDED BY", rank=7),
    Column(heading="STACK", rank=8),
    Column(heading="CLAIMED", rank=3),
    Column(heading="DEADLINE", rank=6),
    Column(heading="COST", rank=4),
    _METRICS,
    Column(heading="WHY", rank=2, least=22),
)


def refusals(refused: Sequence[Run], now: datetime) -> list[str]:
    """Return a line for each job with launches that came to nothing; `refused` newest first."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in refused:
        groups.setdefault((run.job, run.state), []).append(run)
    lines = []
    for (job, state), found in groups.items():
        newest, what = found[0], "skipped" if state == State.SKIPPED else "refused"
        claimed = newest.receipt.get("claimed")
        when = f" {ago(datetime.fromisoformat(claimed), now)}" if claimed else ""
        last = "" if len(found) == 1 else ", the last"
        said = f"{counted(len(found), 'launch', 'launches')} of job {job} {what}{last}{when}"
        lines.append(f"{said}, {newest.run_id}: {hint(newest.reason)}")
    return lines


def _first(job: str | None) -> str:
    named = _named(job)
    return f"make upload-config{named} and then make launch{named}"


def _hidden(job: str | None, seen: int, count: int) -> str:
    """Return that what was looked through is not all, and what looks through more of it."""
    of = f" of job {job}" if job else ""
    return f"the newest {seen} launches{of} came to nothing; {_more(job, count)} looks further"


def _more(job: str | None, count: int) -> str:
    return f"make status{_named(job)} COUNT={min(_TIMES * count, MAX_COUNT)}"


def _named(job: str | None) -> str:
    return f" JOB={job}" if job else ""


def _table(runs: Sequence[Run], now: datetime) -> tuple[list[Column], list[tuple[str, ...]]]:
    rows = [_row(run, now) for run in runs]
    told = {place for row in rows for place, cell in enumerate(row) if cell != "-"}
    shown = [place for place, one in enumerate(_COLUMNS) if one is not _METRICS or place in told]
    return [_COLUMNS[at] for at in shown], [tuple(row[at] for at in shown) for row in rows]


def _row(run: Run, now: datetime) -> tuple[str, ...]:
    claimed = run.receipt.get("claimed")
    return (
        run.run_id,
        run.job,
        run.state,
        run.ended_by or "-",
        run.stack["StackStatus"] if run.stack else "-",
        ago(datetime.fromisoformat(claimed), now) if claimed else "-",
        "-" if run.is_over else str(run.receipt.get("deadline", "-")),
        cost_of(run, now),
        "-" if run.is_over else metrics_line(run.metrics, _METRICS_WIDTH) or "-",
        hint(run.reason),
    )


def _show_one(deployment: Deployment, run: Run, as_json: bool) -> None:
    if as_json:
        console.print_json(_plain(run))
        return
    machine = find_machine(deployment, run.run_id)
    print(*describe(run, machine, deployment.results_bucket, datetime.now(UTC)), sep="\n")


def _plain(run: Run) -> dict[str, Any]:
    return {
        "job": run.job,
        "run-id": run.run_id,
        "state": run.state,
        "reason": run.reason,
        "ended-by": run.ended_by,
        "metrics": dict(run.metrics),
        "stack-status": run.stack["StackStatus"] if run.stack else None,
        "receipt": run.receipt,
        "outcome": run.outcome,
    }


def _plain_stack(stack: Mapping[str, Any]) -> dict[str, Any]:
    tags = stack_tags(stack)
    return {
        "stack-name": stack["StackName"],
        "status": stack["StackStatus"],
        "job": tags.get("parris:job"),
        "run-id": tags.get("parris:run-id"),
        "deadline": tags.get("parris:deadline"),
    }
