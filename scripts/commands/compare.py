"""Compare runs: what they were, what they ran with, and what came of them: `parris compare`."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.cli.columns import Column
from scripts.cli.console import Refused
from scripts.cli.which_cloud import hint
from scripts.cli.words import counted
from scripts.deployment import ranking
from scripts.deployment.looked_at import LookedAt, look_at
from scripts.deployment.newest import Wanted, read_newest
from scripts.deployment.outputs import Deployment, read_deployment
from scripts.deployment.runs import Run, find_run, list_stacks
from scripts.deployment.source_diff import diff_sources

MOST = 8
"""Runs side by side."""
BEST = 4
"""Of those that a metric chooses: they fit a terminal of 80 columns."""
_MOST_ROWS = 40
"""Of packages."""
_WIDTH = 12
"""Cells to which a run's column may be made narrower."""


def main(argv: list[str]) -> int:
    """Print what differs between runs, and what came of each."""
    options = parse("compare", argv)
    names = [name for name in options.runs.replace(",", " ").split() if name]
    if options.best and names:
        raise Refused("BEST= chooses the runs, and RUNS= names them: leave one of them out")
    if not options.best and not 2 <= len(names) <= MOST:
        raise Refused(
            f"{counted(len(names), 'run')} named; give 2 to {MOST}, such as "
            "make compare RUNS=20261124-0512,20261125-0512 (make status lists them), or a metric: "
            "make compare BEST=accuracy"
        )
    deployment, now = read_deployment(), datetime.now(UTC)
    found = _best(deployment, options) if options.best else _named(deployment, options.job, names)
    ids = [run.run_id for run in found]
    runs = [look_at(deployment, run, now) for run in found]
    diffs = (
        {run.run_id: diff_sources(deployment, found[0], run) for run in found[1:]}
        if options.diff
        else None
    )
    if options.json:
        console.print_json(as_json(runs, diffs))
        return 0
    _show("", [one.summary for one in runs], ids, every=True)
    _show("parameters", [one.parameters for one in runs], ids)
    _show("files, machine and limits", [one.facts for one in runs], ids)
    _show("Python packages", [one.packages for one in runs], ids)
    _show("metrics, last values", [_shown(one.metrics) for one in runs], ids, every=True)
    for run_id, lines in (diffs or {}).items():
        print(f"\nfiles of {run_id}, by those of {ids[0]}" + ("" if lines else ": the same"))
        print(*lines, sep="\n", end="\n" if lines else "")
    if diffs is None:
        print(hint(f"\nmake compare RUNS={','.join(ids)} DIFF=1 compares their files, too"))
    if options.best:
        print(hint(f"make rerun RUN={ids[0]} does the first one again"))
    return 0


def _named(deployment: Deployment, job: str, names: Sequence[str]) -> list[Run]:
    found = [find_run(deployment, job or None, name) for name in names]
    ids = [run.run_id for run in found]
    if len(set(ids)) < len(ids):
        twice = next(one for one in ids if ids.count(one) > 1)
        raise Refused(f"run {twice} is named twice; give different ones")
    return found


def _best(deployment: Deployment, options: Namespace) -> list[Run]:
    """Return the best few of the newest runs by a metric, as `make status BEST=` has them."""
    wanted = Wanted(count=ranking.LOOKED_THROUGH, job=options.job or None)
    newest = read_newest(deployment, wanted, list_stacks(deployment))
    return ranking.rank(newest.runs, options.best)[:BEST]


def differing(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is not the same in all `tables`, in the order in which it comes there."""
    names = dict.fromkeys(name for table in tables for name in table)
    return [name for name in names if any(t.get(name) != tables[0].get(name) for t in tables)]


def as_json(runs: Sequence[LookedAt], diffs: Mapping[str, Sequence[str]] | None) -> dict[str, Any]:
    """Return all that is known of the runs, and which of it differs."""
    parts: dict[str, list[Mapping[str, Any]]] = {
        "parameters": [one.parameters for one in runs],
        "facts": [one.facts for one in runs],
        "packages": [one.packages for one in runs],
        "metrics": [one.metrics for one in runs],
    }
    return {
        "runs": [
            {
                "job": one.run.job,
                "run-id": one.run.run_id,
                "state": one.run.state,
                "reason": one.run.reason,
                "ended-by": one.run.ended_by,
                "trainer-seconds": (one.run.outcome or {}).get("trainer-seconds"),
                "cost-usd": (one.run.outcome or {}).get("cost-usd"),
                **{name: tables[place] for name, tables in parts.items()},
            }
            for place, one in enumerate(runs)
        ],
        "differ": {name: differing(tables) for name, tables in parts.items()},
        "diff": diffs,
    }


def _show(
    title: str, tables: Sequence[Mapping[str, str]], ids: Sequence[str], *, every: bool = False
) -> None:
    """Print a table of what differs, or of `every` row; a line where there is none."""
    names = list(dict.fromkeys(name for table in tables for name in table))
    rows = names if every else differing(tables)
    if not names:
        print(f"\n{title}: none known")
        return
    if not rows:
        print(f"\n{title}: the same")
        return
    if title:
        print(f"\n{title}" + ("" if every else f" ({len(rows)} of {len(names)} differ)"))
    columns = [Column(heading="", rank=0)]
    columns += [Column(heading=one[-8:], rank=0, least=_WIDTH) for one in ids]
    cells = [[name, *(table.get(name, "-") for table in tables)] for name in rows[:_MOST_ROWS]]
    console.print_table(columns, cells)
    if len(rows) > _MOST_ROWS:
        print(f"and {len(rows) - _MOST_ROWS} more; JSON=1 has all")


def _shown(metrics: Mapping[str, float | str]) -> dict[str, str]:
    return {
        name: f"{value:.6g}" if isinstance(value, float) else str(value)
        for name, value in metrics.items()
    }
