"""The verbs about runs that are over. Nothing is imported here that takes time."""

from __future__ import annotations

from scripts.cli.filters import goal
from scripts.cli.verb import (
    MAX_COUNT,
    WAIT,
    Option,
    Verb,
    job,
    named,
    pair,
    run,
    several,
    text,
    whole,
)

VERBS = (
    Verb(
        name="rerun",
        help="start a run again: same files, parameters, image and machine as then",
        example="rerun 20261124-05 --wait",
        options=(
            run("its id or the beginning of it; by default, and with last, the newest"),
            job("only runs of this job"),
            Option(
                name="parameter",
                help="for the trainer, in place of the run's own; may be repeated",
                read=pair,
                value="name=value",
                default=[],
                make_name="PARAMETERS",
                short="p",
                many=True,
            ),
            WAIT,
            named("event-id", "launch at most once for this id", value="id"),
        ),
        answer=(
            "the launch function's answer (contracts.md, Events), with `rerun-of`; with `--wait` "
            "also `state`, `reason` and `outcome` of the run"
        ),
    ),
    Verb(
        name="compare",
        help="show what differs between runs, and what came of each",
        example="compare 20261124-05,20261125-05 --diff",
        options=(
            Option(
                name="runs",
                help="2 to 8 runs, each its id or the beginning of it",
                read=text,
                value="a,b,…",
                default="",
                first=True,
            ),
            job("only runs of this job"),
            named(
                "best",
                "instead of runs: the 4 best by this metric, the highest first; =-loss: the lowest",
                read=goal,
                value="metric",
            ),
            Option(name="diff", help="also the files that they began with, by those of the first"),
        ),
        answer=(
            '`{"runs": [{"job", "run-id", "state", "reason", "ended-by", "trainer-seconds", '
            '"cost-usd", "parameters", "facts", "packages", "metrics"}], "differ": {"parameters", '
            '"facts", "packages", "metrics"}, "diff"}`: `differ` lists names; `diff` is null '
            "without `--diff`, else lines by run id"
        ),
    ),
    Verb(
        name="report",
        help="write one HTML file with runs, curves and costs, or with a grid's trials",
        example="report monte-carlo --output /tmp/report.html",
        options=(
            job("only runs of this job", first=True),
            named(
                "runs",
                "only these: ids or beginnings of them, with commas",
                read=several,
                value="a,b",
                default=(),
            ),
            named(
                "grid",
                "a grid's trials instead: its id, the beginning of it, or last",
                value="grid",
            ),
            named(
                "count",
                "how many runs, the newest; of a grid's trials the best",
                read=whole(1, MAX_COUNT, "runs"),
                value="n",
                default=MAX_COUNT,
            ),
            named(
                "output",
                "the file to write; by default results/report.html",
                value="file",
                completes="files",
            ),
            Option(
                name="publish",
                help="also put it into the results bucket, and print a link that expires",
            ),
        ),
        answer='`{"file", "bytes", "runs", "link", "expires"}`, the last two null if not published',
    ),
)
