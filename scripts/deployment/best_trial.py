"""The best trial of a grid: with which parameters, and the commands that run it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from botocore.exceptions import ClientError

from parris.errors import InvalidConfig
from parris.jobs.config import CONFIG_FILENAME, read_config
from parris.jobs.parameters import environment_name, merged
from parris.jobs.points import Grid
from parris.runs.grid import GridRecord
from parris.runs.names import run_prefix
from scripts.cli.plain_text import one_line
from scripts.cli.which_cloud import hint
from scripts.deployment.outputs import Deployment
from scripts.deployment.stores import storage_of


@dataclass(frozen=True, kw_only=True)
class Again:
    """A command that runs the best trial again."""

    command: str
    """As it has to be typed."""
    does: str
    """What it does, as the rest of a sentence that begins with the command."""


def ways_to_repeat(deployment: Deployment, grid: GridRecord) -> list[Again]:
    """Return the commands that run the best trial again, outside its grid; none without a best.

    The first one repeats it as it was: its files, image, machine, parameters, and the job's own
    limits. A grid may also give all its trials a value that makes them short, such as fewer
    epochs; the second command has the job's own values in place of these, where there are any.
    """
    if grid.best is None:
        return []
    command = hint(f"make rerun RUN={grid.run_id(grid.best.number)}")
    ways = [Again(command=command, does="runs the best one again")]
    given = alike_in_all(grid.grid, grid.parameters)
    own = _own_values(deployment, grid, given) if given else {}
    longer = f"{command} PARAMETERS={_quoted(' '.join(map(_quoted_pair, own.items())))}"
    if own and one_line(longer) == longer:  # else it could not be typed as it is printed
        of_job = " ".join(f"{name}={value}" for name, value in own.items())
        theirs = " ".join(f"{name}={given[name]}" for name in own)
        does = f"does so with the job's own {of_job}; all trials had {theirs}"
        ways.append(Again(command=longer, does=does))
    return ways


def alike_in_all(grid: Grid, common: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters that a grid gives all its trials alike.

    Args:
        common: those of its event. Of a single trial no others count: they may be what it is about.
    """
    if grid.count == 1:
        return dict(common)
    if grid.points:
        first, *others = grid.points
        same = {
            name: value
            for name, value in first.items()
            if all(one.get(name) == value for one in others)
        }
    else:
        same = {name: str(axis[0]) for name, axis in grid.axes.items() if len(axis) == 1}
    return merged(common, same)


def _own_values(
    deployment: Deployment, grid: GridRecord, given: Mapping[str, str]
) -> dict[str, str]:
    """Return the values that the job has of the `given` parameters, as far as they are others.

    By its configuration as it was when the grid began; nothing if that is gone, or is none.
    """
    prefix = run_prefix(grid.job, grid.grid_id)
    try:
        text = storage_of(deployment).read_source(prefix, CONFIG_FILENAME).text
        own = read_config(text, CONFIG_FILENAME).parameters
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return {}
    except InvalidConfig:
        return {}
    spelled = {environment_name(name): value for name, value in own.items()}
    values = {name: spelled.get(environment_name(name)) for name in given}
    return {name: value for name, value in values.items() if value not in (None, given[name])}


def _quoted_pair(pair: tuple[str, str]) -> str:
    name, value = pair
    plain = value and not set(value) & set(" \t\n\r'\"\\")  # what ends or changes a word there
    return f"{name}={value}" if plain else f"{name}={_quoted(value)}"


def _quoted(text: str) -> str:
    """Return `text` as one word of a shell, in quotes even where it needs none."""
    return "'" + text.replace("'", "'\"'\"'") + "'"
