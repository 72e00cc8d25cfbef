"""A run named by the beginning of its id, as git names a commit."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.cli.console import Refused

_SHOWN = 10
_NEWEST = 5


def begun_with(beginning: str, keys: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Return the one (job, run id) whose id begins with `beginning`.

    Args:
        keys: of all runs in question, newest first; there is one at least.

    Raises:
        Refused: if none or several do, with those that may have been meant.
    """
    found = [key for key in keys if key[1].startswith(beginning)]
    if len(found) == 1:
        return found[0]
    if found:
        more = f"\n  and {len(found) - _SHOWN} older ones" if len(found) > _SHOWN else ""
        raise Refused(
            f"{len(found)} runs' ids begin with {beginning}; give more of the one you mean\n"
            f"{_listed(found[:_SHOWN])}{more}"
        )
    newest = _listed(keys[:_NEWEST])
    named = "" if beginning not in {job for job, _ in keys} else " (a job's name goes with JOB=)"
    raise Refused(f"no run's id begins with {beginning!r}{named}; the newest runs are\n{newest}")


def _listed(keys: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"  {run_id}  {job}" for job, run_id in keys)
