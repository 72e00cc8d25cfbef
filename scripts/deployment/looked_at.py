"""A run as it is compared with others: what it was, what it ran with, and what came of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf, isfinite

from botocore.exceptions import ClientError

from parris.jobs.commit import as_git
from parris.runs.documents import Outcome, Receipt
from scripts.deployment.folders import believed_folder
from scripts.deployment.one_run import cost_of
from scripts.deployment.outputs import Deployment
from scripts.deployment.runs import Run
from scripts.metrics.stored import Place, last_values

PACKAGES_BYTES = 300_000
"""Of a packages.txt; the agent writes 256 KiB at most."""
METRICS_BYTES = 65_536
"""Of the end of a metrics.jsonl, and of a whole metrics.json."""
MAX_METRICS = 50

_FACT = re.compile(r"# ([a-z-]{1,30}) (\S.{0,200})")
_PYTHON = re.compile(r"# python (\S{1,40}) of .+")
_PACKAGE = re.compile(r"([a-z0-9][a-z0-9.-]{0,100})==(\S{1,100})")


@dataclass(frozen=True, kw_only=True)
class LookedAt:
    """One run, as far as it is known."""

    run: Run
    facts: Mapping[str, str]
    """Of its receipt and its machine, by what they are called."""
    packages: Mapping[str, str]
    """Versions of its trainer's Python packages, by name."""
    metrics: Mapping[str, float | str]
    """Each one's last value."""
    summary: Mapping[str, str]
    """How it went."""

    @property
    def parameters(self) -> Mapping[str, str]:
        given = self.run.receipt.get("parameters", {})
        return {str(name): str(value) for name, value in given.items()}


def look_at(deployment: Deployment, run: Run, now: datetime) -> LookedAt:
    folder = believed_folder(deployment, run)
    text = _read(deployment, f"{folder}packages.txt", PACKAGES_BYTES)
    machine, packages = read_environment(text.decode(errors="replace"))
    return LookedAt(
        run=run,
        facts={**facts_of(run.receipt, run.outcome or {}), **machine},
        packages=packages,
        metrics=_metrics(deployment, run, folder),
        summary=summary_of(run, now),
    )


def summary_of(run: Run, now: datetime) -> dict[str, str]:
    """Return how a run went, in words."""
    outcome = run.outcome or {}
    seconds = outcome.get("trainer-seconds")
    claimed = run.receipt.get("claimed")
    begun = f"{datetime.fromisoformat(claimed).astimezone(UTC):%Y-%m-%d %H:%M}" if claimed else "-"
    return {
        "run": run.run_id,
        "job": run.job,
        "state": run.state,
        "ended by": run.ended_by or "-",
        "claimed": begun,
        "trained": f"{seconds:,.1f} s" if isinstance(seconds, (int, float)) else "-",
        "cost": cost_of(run, now),
    }


def facts_of(receipt: Receipt, outcome: Outcome) -> dict[str, str]:
    """Return what of a receipt, and of what it became, may explain another result."""
    git = as_git(receipt.get("git"))
    dirty = " with changes" if git and git["dirty"] else ""
    attempts = outcome.get("attempts")
    held = {
        "machine": f"{receipt.get('instance-type', '?')} {receipt.get('market', '?')}",
        "machines": len(attempts) if isinstance(attempts, list) else 1,
        "image": receipt.get("image"),
        "volume": f"{receipt['volume-size-gb']} GiB" if "volume-size-gb" in receipt else None,
        "commit": f"{git['commit'][:12]}{dirty}" if git else None,
        "script": receipt.get("script"),
        "time limit": receipt.get("time-limit-minutes"),
        "cost limit": receipt.get("cost-limit-usd"),
        "resumes": receipt.get("resumes"),
        "rerun of": receipt.get("rerun-of"),
        "version": receipt.get("parris-version"),
    }
    return {name: str(value) for name, value in held.items() if value is not None}


def read_environment(text: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return what a packages.txt says of the machine, and the versions of its packages.

    Of several interpreters each package has all its versions.
    """
    facts: dict[str, str] = {}
    pythons: dict[str, None] = {}
    packages: dict[str, dict[str, None]] = {}
    for line in text.splitlines():
        if found := _PYTHON.fullmatch(line):
            pythons[found[1]] = None
        elif (found := _FACT.fullmatch(line)) and not pythons:
            facts["processor" if found[1] == "machine" else found[1]] = found[2]
        elif found := _PACKAGE.fullmatch(line):
            packages.setdefault(found[1], {})[found[2]] = None
    facts.pop("what", None)  # the file's own first line
    if pythons:
        facts["python"] = ", ".join(pythons)
    return facts, {name: ", ".join(found) for name, found in packages.items()}


def read_metrics(lines: Sequence[bytes]) -> dict[str, float | str]:
    """Return the last value of each metric in lines of JSON objects; what is none is left out."""
    found: dict[str, float | str] = {}
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        found.update(_values(row))
    return dict(list(found.items())[:MAX_METRICS])


def _values(row: object) -> dict[str, float | str]:
    if not isinstance(row, Mapping):
        return {}
    return {
        name[:100]: _value(value)
        for name, value in row.items()
        if isinstance(value, (int, float, str))
    }


def _value(value: float | str) -> float | str:
    """Return a number, or a short text, which "nan" and "inf" are too."""
    if isinstance(value, str):
        return value[:100]
    try:
        return value if isfinite(value) else str(value)
    except OverflowError:  # integers of JSON have no end
        return str(inf if value > 0 else -inf)


def _metrics(deployment: Deployment, run: Run, folder: str) -> dict[str, float | str]:
    """Return what a run's outcome says of its metrics, else its own file of that name."""
    if told := _values((run.outcome or {}).get("metrics")):
        return told
    end = _read(deployment, f"{folder}output/metrics.jsonl", METRICS_BYTES, end=True)
    lines = end.split(b"\n")
    if len(end) == METRICS_BYTES:
        lines = lines[1:]  # which may be cut
    last = _read(deployment, f"{folder}output/metrics.json", METRICS_BYTES)
    place = Place(s3=deployment.client("s3"), bucket=deployment.results_bucket, folder=folder)
    # Those of TensorBoard and MLflow no machine reads, so that no outcome has them.
    return read_metrics(lines) or read_metrics([last]) or _values(last_values(place))


def _read(deployment: Deployment, key: str, most: int, *, end: bool = False) -> bytes:
    """Return the beginning, or the `end`, of an object of the results bucket; b"" without one."""
    span = f"bytes=-{most}" if end else f"bytes=0-{most - 1}"
    try:
        answer = deployment.client("s3").get_object(
            Bucket=deployment.results_bucket, Key=key, Range=span
        )
    except ClientError as error:
        # An empty object has no range (S3 API reference, GetObject: InvalidRange).
        if error.response["Error"]["Code"] not in ("NoSuchKey", "InvalidRange"):
            raise
        return b""
    body: bytes = answer["Body"].read()
    return body
