"""List runs and stacks, or show one run in full: `parris status`."""

from __future__ import annotations

import shlex
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from parris.aws.stacks import stack_tags
from parris.contract import State
from parris.runs.metrics import metrics_line
from parris.runs.times import iso
from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.cli.columns import Column
from scripts.cli.console import Refused
from scripts.cli.plain_text import one_line
from scripts.cli.verb import MAX_COUNT
from scripts.cli.which_cloud import hint
from scripts.cli.words import ago, counted
from scripts.deployment import grids, ranking, show_grid
from scripts.deployment.machines import find_machine
from scripts.deployment.newest import Wanted, read_newest
from scripts.deployment.objects import described, list_files
from scripts.deployment.one_run import cost_of, describe
from scripts.deployment.outputs import Deployment, read_deployment
from scripts.deployment.runs import Run, find_run, list_stacks
from scripts.deployment.watch import watch


def main(argv: list[str]) -> int:
    """List the newest runs with their states and reasons, and the stacks that stand; or one run."""
    options = parse("status", argv)
    deployment = read_deployment()
    if options.watch:
        return _watch(deployment, options)
    if options.grid:
        return _show_grid(deployment, options)
    if options.best and options.run:
        raise Refused("BEST= ranks runs, and RUN= shows one: leave one of them out")
    if options.run:
        _show_one(deployment, find_run(deployment, options.job or None, options.run), options.json)
        return 0
    stacks = list_stacks(deployment)
    newest = read_newest(deployment, _wanted(options), stacks)
    runs, refused = newest.runs, newest.refused
    for problem in newest.problems:
        print(one_line(f"note: an item of the ledger holds no run: {problem}"), file=sys.stderr)
    if options.best:
        if newest.more:
            looked = f"note: the best of the newest {len(runs)} runs; JOB= and SINCE= narrow it"
            print(hint(looked), file=sys.stderr)
        if not options.json:
            _show_best(runs, options)
            return 0
        runs = ranking.rank(runs, options.best)[: options.count] if runs else []
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
        print(hint(f"{_hidden(options, len(refused))}; {_more(options)} looks further"))
    else:
        print(hint(_nothing(options)))
    if newest.more and runs:
        print(hint(f"older runs are not shown; {_more(options)} shows some"))
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


def _show_grid(deployment: Deployment, options: Namespace) -> int:
    others = ("run", "best", "watch", "state", "since")
    if given := [name.upper() for name in others if getattr(options, name)]:
        raise Refused(f"GRID= shows one grid: leave {', '.join(given)} out")
    grid = grids.find_grid(deployment, options.job or None, options.grid)
    trials = grids.trials_of(deployment, grid)
    if options.json:
        console.print_json(grids.plain(grid, trials))
    else:
        show_grid.show(deployment, grid, trials, options.count)
    return 0


def _show_best(runs: Sequence[Run], options: Namespace) -> None:
    if not runs:
        raise Refused(_nothing(options))
    best = ranking.rank(runs, options.best)
    shown = best[: options.count]
    console.print_table(*ranking.table(shown, options.best, datetime.now(UTC)))
    if len(best) > len(shown):
        print(hint(f"{len(best) - len(shown)} more have it; COUNT={len(best)} shows all of them"))
    run_id = shown[0].run_id
    print(hint(f"make rerun RUN={run_id} does the first one again; make report has its curves"))


def _wanted(options: Namespace) -> Wanted:
    return Wanted(
        count=max(options.count, ranking.LOOKED_THROUGH) if options.best else options.count,
        job=options.job or None,
        states=options.state or (),
        since=options.since and options.since.moment,
    )


def _watch(deployment: Deployment, options: Namespace) -> int:
    if options.json:
        raise Refused(
            "WATCH=1 goes on until Ctrl-C, and JSON=1 is one answer: leave one of them out"
        )
    if options.best:
        raise Refused(
            "WATCH=1 shows runs as they come, and BEST= ranks them: leave one of them out"
        )
    if options.run:
        raise Refused(
            f"WATCH=1 shows all runs; one is followed by make logs RUN={options.run} WAIT=1"
        )
    try:
        watch(deployment, _wanted(options))
    except KeyboardInterrupt:
        again = hint("make status WATCH=1")
        print(f"\nthe runs go on; {again} shows them again", file=sys.stderr)
        return 130


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


def _nothing(options: Namespace) -> str:
    """Return that there is no such run, and what shows or starts one."""
    of = f" of job {options.job}" if options.job else ""
    job = f" JOB={options.job}" if options.job else ""
    if not options.state and not options.since:
        return f"no run{of} yet; make upload-config{job} and then make launch{job} starts the first"
    since = f" since {iso(options.since.moment)}" if options.since else ""
    state = f" {' or '.join(options.state)}" if options.state else ""
    return f"no run{of} is{state or ' there'}{since}; make status{job} shows the newest"


def _hidden(options: Namespace, seen: int) -> str:
    of = f" of job {options.job}" if options.job else ""
    return f"the newest {seen} launches{of} came to nothing"


def _more(options: Namespace) -> str:
    """Return the command that shows more of what is asked for."""
    given = {"JOB": options.job, "STATE": ",".join(options.state or ())}
    given["SINCE"] = shlex.quote(options.since.text) if options.since else ""
    given["COUNT"] = str(min(_TIMES * options.count, MAX_COUNT))
    return " ".join(["make status", *(f"{name}={v}" for name, v in given.items() if v)])


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
    files, whole = list_files(deployment, run)
    if as_json:
        attempts = (run.outcome or {}).get("attempts") or [one.record() for one in run.attempts]
        more = {"attempts": attempts}
        named = [{"name": one.name, "bytes": one.size} for one in files]
        console.print_json(_plain(run) | more | {"files": named, "all-files": whole})
        return
    machine, said = find_machine(deployment, run.run_id), described(files, whole, run.run_id)
    print(*describe(run, machine, deployment.results_bucket, datetime.now(UTC), said), sep="\n")


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
