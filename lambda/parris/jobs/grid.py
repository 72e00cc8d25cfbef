"""A grid as a person writes it: which parameters its trials have, and within which limits."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ..contract import MAX_METRIC_NAME
from ..errors import InvalidConfig, found
from .fields import Amount, Choice, Field, Text, Whole, canonical, read_fields
from .files import decode, read_object
from .parameters import environment_name, read_parameters
from .points import MAX, MEDIAN, MIN, Axis, Grid, read_range

MAX_TRIALS = 100_000
MAX_PARALLEL = 100
"""Each trial that is under way has a place in the grid's item of the ledger."""
MAX_BYTES = 8_192
"""Of a grid as JSON, which is in that item too."""

_RANGE = re.compile(r"-?[0-9]{1,15}\.\.-?[0-9]{1,15}")

FIELDS: Mapping[str, Field] = {
    "random": Whole(minimum=1, maximum=MAX_TRIALS, unit="trials"),
    "max-parallel": Whole(minimum=1, maximum=MAX_PARALLEL, unit="trials", default=4),
    "give-up-after": Whole(minimum=1, maximum=MAX_TRIALS, unit="trials", default=10),
    "cost-limit": Amount(maximum=1_000_000, unit="US dollars"),
    "metric": Text(
        pattern=f"[!-~](?:[ -~]{{0,{MAX_METRIC_NAME - 2}}}[!-~])?",  # as a machine tells it
        allowed="the name of a metric (docs/metrics.md)",
    ),
    "goal": Choice(values=(MAX, MIN), default=MAX),
    "stop-early": Choice(values=(MEDIAN,), default=""),
}
"""What a grid may have beside its ``parameters`` or its ``points``."""


def read_grid(given: object, source: str) -> Grid:
    """Return the grid that is `given`: its JSON as text or bytes, or the object in an event.

    Raises:
        InvalidConfig: with every fault found: its key, what was found, what is allowed.
    """
    if isinstance(given, bytes):
        given = decode(given, source)
    whole = read_object(given, source) if isinstance(given, str) else given
    if not isinstance(whole, Mapping):
        raise InvalidConfig(source, [f"{found(whole)} is not an object"])
    problems: list[str] = []
    values = canonical(whole, FIELDS.keys() | {"parameters", "points"}, "", problems)
    try:  # half a surrogate pair counts here; what it stands in is refused by its own name
        size = len(json.dumps(values, ensure_ascii=False).encode(errors="surrogatepass"))
    except RecursionError as error:
        problem = "it is nested too deep; a parameter has one list of values, or a range"
        raise InvalidConfig(source, [problem]) from error
    if size > MAX_BYTES:
        problems.append(f"{size} bytes are too many for a grid (at most {MAX_BYTES})")
    axes, points = _trials(values, problems)
    read = read_fields(FIELDS, values, "", problems)
    grid = Grid(
        axes=axes,
        points=points,
        random=read["random"],
        max_parallel=read["max-parallel"],
        give_up_after=read["give-up-after"],
        cost_limit_usd=read["cost-limit"],
        metric=read["metric"],
        goal=read["goal"],
        stop_early=read["stop-early"],
    )
    problems += [] if problems else _problems_of_size(grid)
    if grid.stop_early and "metric" not in values:
        problems.append(
            "stop-early: trials are compared by a metric, and none is named; add such as "
            '"metric": "accuracy", "goal": "max"'
        )
    elif "goal" in values and "metric" not in values:
        problems.append("goal: it says which value of a metric is best; name the metric too")
    if problems:
        raise InvalidConfig(source, problems)
    return grid


def _trials(
    values: Mapping[str, Any], problems: list[str]
) -> tuple[dict[str, Axis], tuple[Mapping[str, str], ...]]:
    if ("parameters" in values) == ("points" in values):
        problems.append(
            'parameters: give either these, such as {"lr": [0.1, 0.01], "seed": "1..5"}, or '
            'points, a list of the parameters of each trial, such as [{"lr": 0.1}]'
        )
        return {}, ()
    if "points" in values:
        return {}, _points(values["points"], problems)
    given = values["parameters"]
    if not isinstance(given, Mapping) or not given:
        problems.append(f"parameters: {found(given)} is not an object of names and their values")
        return {}, ()
    problems += [f"parameters: {one}" for one in read_parameters(dict.fromkeys(given, ""))[1]]
    spelled = [environment_name(name) for name in given]
    problems += [
        f"parameters.{name}: given twice, spelled in two ways; keep one"
        for name in given
        if spelled.count(environment_name(name)) > 1
    ]
    axes = {name: _axis(name, value, problems) for name, value in given.items()}
    return axes, ()


def _axis(name: str, value: object, problems: list[str]) -> Axis:
    """Return the values of a parameter: those of a list, or the whole numbers of ``"a..b"``."""
    if isinstance(value, str) and _RANGE.fullmatch(value):
        numbers = read_range(value)
        if not numbers:
            other = f"{numbers.stop - 1}..{numbers.start}"
            problems.append(f"parameters.{name}: {value} has no number; write {other}")
        return numbers
    if not isinstance(value, list) or not value:
        problems.append(
            f"parameters.{name}: {found(value)} is neither a list of values, such as [0.1, 0.01], "
            'nor a range of whole numbers, such as "1..5"'
        )
        return ()
    read = [read_parameters({name: one}) for one in value]
    if faults := [fault for _, found_faults in read for fault in found_faults]:
        problems.append(f"parameters.{faults[0]}")
        return ()
    texts = [values[name] for values, _ in read]
    if len(set(texts)) < len(texts):
        problems.append(f"parameters.{name}: a value stands there twice; keep one of each")
    return texts


def _points(value: object, problems: list[str]) -> tuple[Mapping[str, str], ...]:
    if not isinstance(value, list) or not value:
        problems.append(f"points: {found(value)} is not a list of the parameters of each trial")
        return ()
    points = []
    for number, one in enumerate(value, 1):
        values, faults = read_parameters(one)
        problems += [f"points[{number}]: {fault}" for fault in faults]
        points.append(values)
    return tuple(points)


def _problems_of_size(grid: Grid) -> list[str]:
    if grid.random is not None and grid.points:
        return ["random: points are taken as they are; leave it out"]
    if grid.random is not None and grid.random > grid.size:
        return [
            f"random: {grid.random} of {grid.size} combinations; leave it out to have all of them"
        ]
    if grid.count > MAX_TRIALS:
        return [
            f"parameters: {grid.size} combinations are too many (at most {MAX_TRIALS}); give fewer "
            f'values, or draw some of them: "random": {MAX_TRIALS}'
        ]
    return []
