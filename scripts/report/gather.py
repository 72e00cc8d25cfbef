"""What the report has of each run, gathered from the ledger's records and the results bucket."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from scripts.cli.console import progress
from scripts.cli.inside import NotInside, path_inside
from scripts.cli.which_cloud import hint
from scripts.deployment.folders import believed_folder
from scripts.deployment.one_run import attempts_of, next_commands, was_refused
from scripts.deployment.outputs import Deployment
from scripts.deployment.runs import Run
from scripts.metrics.curves import read_curves
from scripts.metrics.jsonl import read_jsonl
from scripts.metrics.points import Curves
from scripts.report import curves, images
from scripts.report.images import Output
from scripts.report.rows import row_of

MOST_DETAILED = 100
"""Runs of which the report has more than a row: a few calls of S3 each."""

_AT_ONCE = 12
_LOG_BYTES = 8_192
_MOST_METRICS_BYTES = 20_000_000
_METRICS_FILE = "metrics.jsonl"
_MACHINE_FILE = "machine.jsonl"
"""What a machine measures of itself, beside its log, in the form of ``metrics.jsonl``."""


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where the objects of one run lie."""

    s3: Any
    bucket: str
    folder: str
    """Of the machine that is believed, with a slash at its end."""


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
        _Place(s3=s3, bucket=bucket, folder=believed_folder(deployment, runs[place]))
        for place in detailed
    ]
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        read = pool.map(_read, places)
        found = list(progress(read, len(places), "runs read"))
        for place, (more, _) in zip(detailed, found, strict=True):
            rows[place] |= {**_known(runs[place]), **more}
            _add_last_values(rows[place])
        kept = images.within_budget([chosen for _, chosen in found])
        wanted = [(row, image) for row, some in zip(detailed, kept, strict=True) for image in some]
        bodies = pool.map(lambda each: _get(s3, bucket, each[1].key), wanted)
        for (row, image), body in zip(wanted, progress(bodies, len(wanted), "images"), strict=True):
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


def _read(place: _Place) -> tuple[dict[str, Any], list[Output]]:
    """Return what the page has of the objects of a run, and the images to show of it."""
    outputs, more = _list_output(place)
    chosen, lacking = images.choose(outputs)
    if more:
        lacking.append(f"output beyond its first {len(outputs):,} files was not looked at")
    sizes = {one.name: one.size for one in outputs}
    trained = f"output/{_METRICS_FILE}"
    if sizes.get(_METRICS_FILE, 0) > _MOST_METRICS_BYTES:
        lacking.append(f"curves: {trained} has {sizes[_METRICS_FILE]:,} bytes")
        drawn = []
    else:
        drawn = _curves(place, trained) if _METRICS_FILE in sizes else []
    names = {curve.name for curve in drawn}
    drawn += [one for one in _others_curves(place, outputs, lacking) if one.name not in names]
    return {
        "curves": [{**curve.record(), "last": curve.last} for curve in drawn],
        "machineCurves": [curve.record() for curve in _curves(place, _MACHINE_FILE)],
        "log": _log_end(place),
        "lacking": lacking,
    }, chosen


def _list_output(place: _Place) -> tuple[list[Output], bool]:
    """Return the first thousand objects of a run's output, and whether there are more."""
    prefix = f"{place.folder}output/"
    answer = place.s3.list_objects_v2(Bucket=place.bucket, Prefix=prefix)
    listed: Iterable[Mapping[str, Any]] = answer.get("Contents", [])
    return [
        Output(key=item["Key"], name=item["Key"].removeprefix(prefix), size=item["Size"])
        for item in listed
    ], bool(answer.get("IsTruncated"))


def _curves(place: _Place, name: str) -> list[curves.Curve]:
    """Return the curves of one file of a run; none if it is not there."""
    body = _get(place.s3, place.bucket, place.folder + name, f"bytes=0-{_MOST_METRICS_BYTES - 1}")
    if body is None:
        return []
    read = Curves()
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        read_jsonl(Path(file.name), read)
    return curves.curves_from(read)


def _others_curves(
    place: _Place, outputs: Sequence[Output], lacking: list[str]
) -> list[curves.Curve]:
    """Return the curves in files of TensorBoard and MLflow; say what of them is left out."""
    files = [
        one
        for one in outputs
        if ".tfevents." in one.name or one.name.rpartition("/")[2] == "mlflow.db"
    ]
    left = _MOST_METRICS_BYTES
    with tempfile.TemporaryDirectory() as folder:
        for one in files:
            if one.size > left:
                lacking.append(f"curves: output/{one.name} has {one.size:,} bytes")
                continue
            left -= one.size
            try:  # the trainer has chosen the name
                path = path_inside(Path(folder) / "output", one.name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(_get(place.s3, place.bucket, one.key) or b"")
            except (NotInside, OSError) as error:
                lacking.append(f"curves: output/{one.name}: {error}")
        read = read_curves(Path(folder))
    lacking += [f"curves: {problem}" for problem in read.problems]
    return curves.curves_from(read)


def _log_end(place: _Place) -> str:
    """Return the last lines of a run's log."""
    key = f"{place.folder}log.txt"
    text = (_get(place.s3, place.bucket, key, f"bytes=-{_LOG_BYTES}") or b"").decode(
        errors="replace"
    )
    whole = len(text) < _LOG_BYTES // 2 or "\n" not in text
    return text if whole else text.partition("\n")[2]  # the first line has lost its beginning


def _get(s3: Any, bucket: str, key: str, part: str = "") -> bytes | None:
    """Return an object, or a part of it; None if it is not there, or empty.

    An empty object has no range (S3 API reference, GetObject: InvalidRange).
    """
    try:
        answer = s3.get_object(Bucket=bucket, Key=key, **({"Range": part} if part else {}))
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("NoSuchKey", "InvalidRange"):
            raise
        return None
    body: bytes = answer["Body"].read()
    return body
