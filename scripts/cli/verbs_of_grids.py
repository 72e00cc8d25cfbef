"""The verb that starts a grid. Nothing is imported here that takes time."""

from __future__ import annotations

from scripts.cli.filters import goal
from scripts.cli.verb import WAIT, Option, Verb, amount, job, named, pair, text, whole

VERBS = (
    Verb(
        name="grid",
        help="start many runs of a job, a few at a time, and find the best",
        example="grid monte-carlo -p rounds=5..8 -p darts=1000,20000",
        options=(
            job("which job; default if none is named", first=True),
            Option(
                name="parameter",
                help="its values: a,b,c or 1..5; may be repeated; without any, the job's grid.json",
                read=pair,
                value="name=values",
                default=[],
                make_name="PARAMETERS",
                short="p",
                many=True,
            ),
            named("file", "a grid.json elsewhere", value="file", default="", completes="files"),
            named(
                "random",
                "so many of all combinations, drawn at random",
                read=whole(1, 100_000, "trials"),
                value="n",
            ),
            named(
                "max-parallel",
                "how many at once; 4 if not said",
                read=whole(1, 100, "trials"),
                value="n",
            ),
            named(
                "give-up-after",
                "begin no more once so many are over and all of them failed; 10 if not said",
                read=whole(1, 100_000, "trials"),
                value="n",
            ),
            named("cost-limit", "US dollars for all of them", read=amount, value="usd"),
            named(
                "best", "by this metric, the highest; =-loss: the lowest", read=goal, value="metric"
            ),
            named(
                "stop-early",
                "stop trials that do worse by that metric than half of the others at a step",
                value="median",
                default="",
                choices=("median", ""),
            ),
            Option(
                name="upload",
                help="1: first upload what changed in the job's folder; 0: never; else it asks",
                read=text,
                value="0|1",
                default="",
                choices=("0", "1", ""),
            ),
            WAIT,
            named("event-id", "start at most one grid for this id", value="id"),
        ),
        answer=(
            "the launch function's answer (contracts.md, Events); with `--wait` also what "
            "`status --grid` prints"
        ),
    ),
)
