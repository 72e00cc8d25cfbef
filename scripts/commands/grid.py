"""Start a grid, many runs of one job, through the deployed function: `parris grid`."""

from __future__ import annotations

import re
import sys
import uuid
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from parris.errors import InvalidConfig
from parris.events.request import DEFAULT_JOB
from parris.jobs.files import GRID_FILENAME, decode, read_object
from parris.jobs.grid import read_grid
from parris.jobs.points import Grid
from scripts.cli.arguments import parse
from scripts.cli.console import Refused
from scripts.commands.launch import invoke, refuse_unknown
from scripts.deployment import show_grid
from scripts.deployment.outputs import read_deployment
from scripts.jobs import stale

_RANGE = re.compile(r"-?[0-9]+\.\.-?[0-9]+")


def main(argv: list[str]) -> int:
    """Invoke the launch function with a grid; with --wait, follow it to its end."""
    options = parse("grid", argv)
    job = options.job or DEFAULT_JOB
    wanted = _wanted(options)
    if isinstance(wanted, dict):
        grid = _read(wanted, options.file or "the grid")
        refuse_unknown(job, dict.fromkeys(grid.names, ""))
    deployment = read_deployment()
    upload = {"": None, "0": False, "1": True}[options.upload]
    asks = sys.stdin.isatty() and sys.stdout.isatty() and not options.json
    stale.settle(deployment, job, upload, ask=asks)
    event: dict[str, Any] = {
        "job": job,
        "grid": wanted,
        "event-id": options.event_id or str(uuid.uuid4()),
    }
    if not options.event_id:  # as with launch: the same id must mean the same grid
        event["time"] = datetime.now(UTC).isoformat()
    answer = invoke(deployment, event)
    if "grid" not in answer:  # this event has launched a run before
        raise Refused(f"--event-id {options.event_id}: run {answer['run-id']} was launched with it")
    return show_grid.send_off(deployment, answer, wait=options.wait, as_json=options.json)


def _wanted(options: Namespace) -> dict[str, Any] | bool:
    """Return the grid that the options describe; True for that of the job's grid.json."""
    wanted: dict[str, Any] = {}
    if options.file:
        wanted = _read_file(Path(options.file))
    if options.parameter:
        wanted.pop("points", None)
        wanted["parameters"] = {name: _values(text) for name, text in options.parameter}
    for key in ("random", "max_parallel", "give_up_after"):
        if (value := getattr(options, key)) is not None:
            wanted[key.replace("_", "-")] = value
    if options.cost_limit is not None:
        wanted["cost-limit"] = float(options.cost_limit)
    if options.best:
        wanted |= {"metric": options.best.metric, "goal": "min" if options.best.lowest else "max"}
    if options.stop_early:
        wanted["stop-early"] = options.stop_early
    if not wanted:
        return True
    if not {"parameters", "points"} & wanted.keys():
        raise Refused(
            "which parameters? PARAMETERS='lr=0.1,0.01 seed=1..5' gives them, or "
            f"FILE={GRID_FILENAME}"
        )
    if options.stop_early and "metric" not in wanted:
        raise Refused(
            "by which metric? STOP_EARLY= compares trials by that of BEST=accuracy, or BEST=-loss"
        )
    return wanted


def _values(text: str) -> list[str] | str:
    """Return the values of ``0.1,0.01``, or ``1..5`` as it is."""
    return text if _RANGE.fullmatch(text) else text.split(",")


def _read_file(path: Path) -> dict[str, Any]:
    """Return what is in a file, read as a job's grid.json is."""
    try:
        grid = read_object(decode(path.read_bytes(), str(path)), str(path))
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from error
    except InvalidConfig as error:
        raise Refused(str(error)) from error
    _read(grid, str(path))
    return grid


def _read(wanted: dict[str, Any], source: str) -> Grid:
    try:
        return read_grid(wanted, source)
    except InvalidConfig as error:
        raise Refused(str(error)) from error
