"""What the report has of each run, gathered from the ledger's records and the results bucket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any

from scripts.cli.console import progress
from scripts.cli.which_cloud import hint
from scripts.deployment.folders import believed_folder, worker_folders
from scripts.deployment.one_run import attempts_of, next_commands, was_refused
from scripts.deployment.outputs import Deployment
from scripts.deployment.runs import Run
from scripts.metrics.points import Curves
from scripts.metrics.stored import Output, Place, read_file, read_trained
from scripts.report import curves, images
from scripts.report.rows import row_of

MOST_DETAILED = 100
"""Runs of which the report has more than a row: a few calls of S3 each."""

_AT_ONCE = 12
_LOG_BYTES = 8_192
_MACHINE_FILE = "machine.jsonl"
"""What a machine measures of itself, beside its log, in the form of ``metrics.jsonl``."""


def gather(deployment: Deployment, runs: Sequence[Run], now: datetime) -> list[dict[str, Any]]:
    """Return a row for each of the runs (`row_of`), in their order.

    Those of the first MOST_DETAILED runs that had a machine also have ``curves`` and
    ``machineCurves`` (`Curve.record`), ``log``, its end, ``images``, ``receipt``, ``outcome``,
    ``lines`` (its attempts), ``warnings``, ``next`` (commands) and ``lacking``: what is left out.
    """
    rows = [row_of(run, now) for run in runs]
    had_machine = [place for place, run in enumerate(runs) if not was_refused(run)]
    detailed = had_machine[:MOST_DETAILED]
    s3, bucket = deployment.client("s3"), deployment.results_bucket
    places = [
        Place(s3=s3, bucket=bucket, folder=believed_folder(deployment, runs[place]))
        for place in detailed
    ]
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        read = pool.map(_read, places, (worker_folders(runs[place]) for place in detailed))
        found = list(progress(read, len(places), "runs read"))
        for place, (more, _) in zip(detailed, found, strict=True):
            rows[place] |= {**_known(runs[place]), **more}
            _add_last_values(rows[place])
        kept = images.within_budget([chosen for _, chosen in found])
        wanted = [
            (row, place, image)
            for row, place, some in zip(detailed, places, kept, strict=True)
            for image in some
        ]
        bodies = pool.map(lambda each: each[1].get(each[2].key), wanted)
        shown_bodies = zip(wanted, progress(bodies, len(wanted), "images"), strict=True)
        for (row, _, image), body in shown_bodies:
            if body is not None and (shown := images.embedded(image.name, body)):
                rows[row].setdefault("images", []).append(shown)
    return rows


def _known(run: Run) -> dict[str, Any]:
    """Return what is known of a run without asking S3."""
    return {
        "receipt": run.receipt,
        "outcome": run.outcome,
        "lines": attempts_of(run),
        "warnings": (run.outcome or {}).get("warnings", []),
        "next": [hint(command) for command in next_commands(run)],
    }


def _add_last_values(row: dict[str, Any]) -> None:
    """Give a row the last values of its curves, where no record of the run has them."""
    last = {curve["name"]: curve.pop("last") for curve in row["curves"]}
    row["metrics"] = {**last, **row.get("metrics", {})}


def _read(place: Place, workers: Mapping[int, str]) -> tuple[dict[str, Any], list[Output]]:
    """Return what the page has of the objects of a run, and the images to show of it.

    Args:
        workers: the folders of its other nodes, by rank.
    """
    outputs, more = place.list_output()
    chosen, lacking = images.choose(outputs)
    if more:
        lacking.append(f"output beyond its first {len(outputs):,} files was not looked at")
    own, others = map(curves.curves_from, read_trained(place, outputs, lacking))
    names = {curve.name for curve in own}
    drawn = [*own, *(one for one in others if one.name not in names)]
    machines = _of_machines(place, workers)
    return {
        "curves": [{**curve.record(), "last": curve.last} for curve in drawn],
        "machineCurves": [curve.record() for curve in curves.curves_from(machines)],
        "log": _log_end(place),
        "lacking": lacking,
    }, chosen


def _of_machines(place: Place, workers: Mapping[int, str]) -> Curves:
    """Return how busy the machine was, and each other node, its names with its rank before them."""
    whole = read_file(place, _MACHINE_FILE)
    for rank, folder in workers.items():
        found = read_file(replace(place, folder=folder), _MACHINE_FILE)
        whole.by_name |= {f"[{rank}] {name}": curve for name, curve in found.by_name.items()}
    return whole


def _log_end(place: Place) -> str:
    """Return the last lines of a run's log."""
    key = f"{place.folder}log.txt"
    text = (place.get(key, f"bytes=-{_LOG_BYTES}") or b"").decode(errors="replace")
    whole = len(text) < _LOG_BYTES // 2 or "\n" not in text
    return text if whole else text.partition("\n")[2]  # the first line has lost its beginning
