"""The verbs about jobs and runs. Nothing is imported here that takes time."""

from __future__ import annotations

from scripts.cli.filters import goal, since, states
from scripts.cli.verb import (
    MAX_COUNT,
    WAIT,
    Option,
    Verb,
    job,
    month,
    named,
    pair,
    run,
    text,
    whole,
)

_OF_A_RUN = run("its id or the beginning of it; by default the newest")
_OF_JOB = job("only runs of this job")

_PARAMETERS = Option(
    name="parameter",
    help="for the trainer, in place of the job's own; may be repeated",
    read=pair,
    value="name=value",
    default=[],
    make_name="PARAMETERS",
    short="p",
    many=True,
)

VERBS = (
    Verb(
        name="plan",
        help="show what a launch now would cost and meet; spends and writes nothing",
        example="plan monte-carlo",
        options=(job("which job; default if none is named", first=True), _PARAMETERS),
        answer=(
            '`{"job", "goes", "problems", "notes", "summary", "uploaded", "stack-name", '
            '"stack-status", "image", "image-name", "volume-size-gb", "machines": '
            '[{"instance-type", "market", "vcpus", "gpus", "subnets", "zones", "hourly-usd", '
            '"most-hourly-usd", "quota": {"code", "name", "vcpus", "used"}, "refusal"}], '
            '"instance-type", "market", "hourly-usd", "most-usd", '
            '"grid": {"trials", "max-parallel", "most-usd", "stop-early"}, '
            '"deadline", "delete-at", '
            '"slots": {"held", "limit"}, "month": {"spent-usd", "reserved-usd", "budget-usd"}, '
            '"waiting", "denied", "writes"}`; null is what is not '
            "known, the month without `monthly_budget_usd`, and the grid of a job without one. "
            "Also where `goes` is false, with status 1"
        ),
    ),
    Verb(
        name="launch",
        help="start a training",
        example="launch monte-carlo --parameter rounds=20 --wait",
        options=(
            job("which job; default if none is named", first=True),
            _PARAMETERS,
            Option(
                name="upload",
                help="1: first upload what changed in the job's folder; 0: never; else it asks",
                read=text,
                value="0|1",
                default="",
                choices=("0", "1", ""),
            ),
            named(
                "resume",
                "begin with the checkpoints of this run, or of the job's last one that trained",
                value="run|last",
            ),
            WAIT,
            named("event-id", "launch at most once for this id", value="id"),
        ),
        answer=(
            "the launch function's answer (contracts.md, Events); with `--wait` also `state`, "
            "`reason` and `outcome` of the run"
        ),
    ),
    Verb(
        name="status",
        help="list the newest runs, and the stacks that stand; or show one run in full",
        example="status monte-carlo --state failed,timed-out --since 3d",
        options=(
            job("only runs of this job", first=True),
            named("run", "this run in full: its id or the beginning of it", value="run"),
            named(
                "grid",
                "this grid and its trials: its id, the beginning of it, or last",
                value="grid",
            ),
            named(
                "state",
                "only runs that stand so: running, failed, …; several with commas between",
                read=states,
                value="state",
            ),
            named(
                "since",
                "only runs whose event came since: 2h, 3d, or an ISO date (UTC)",
                read=since,
                value="when",
            ),
            named(
                "count",
                "how many runs",
                read=whole(1, MAX_COUNT, "runs"),
                value="n",
                default=20,
            ),
            named(
                "best",
                "by this metric, the highest first, with parameters and cost; =-loss: the lowest",
                read=goal,
                value="metric",
            ),
            Option(
                name="watch",
                help="look again every few seconds, until Ctrl-C: progress, cost, last line",
            ),
        ),
        answer=(
            '`{"runs": [{"job", "run-id", "state", "reason", "ended-by", "metrics", '
            '"stack-status", "receipt", "outcome"}], '
            '"refused": [the same of launches that were refused], '
            '"stacks": [{"stack-name", "status", "job", "run-id", "deadline"}]}`; with `--run` '
            'one of `runs`, and of it `"metrics"`, `"attempts"`, `"files": [{"name", "bytes"}]`, '
            '`"all-files"`: whether these are all; with `--grid` `{"job", "grid", "is-over", '
            '"trials", "ended": {<state>: <number>}, "under-way", "not-begun", "metric", "goal", '
            '"stop-early", "stopped-early": {"trials", "saved-usd"}, '
            '"best": {"run-id", "trial", "value", "parameters"}, "spent-usd", "reserved-usd", '
            '"cost-limit-usd", "reason", "runs": [{"trial", "run-id", "state", "reason", '
            '"parameters", "metrics", "cost-usd"}]}`'
        ),
    ),
    Verb(
        name="costs",
        help="show what a month's runs have cost, by job, by end and by market",
        example="costs --month 2026-11",
        options=(
            named("month", "which; by default this one, in UTC", read=month, value="yyyy-mm"),
            Option(name="csv", help="print one line a run, as CSV"),
        ),
        answer=(
            '`{"month", "usd", "runs", "under-way", "reserved-usd", "budget-usd", "left-usd", '
            '"forecast-usd", "saved-usd", "wasted-usd", "without-price", "by-job", "by-end": '
            '[{"name", "runs", "usd", "reserved-usd", "saved-usd", "wasted-usd"}], "by-market": '
            '[{"name", "usd"}]}`'
        ),
    ),
    Verb(
        name="logs",
        help="show a run's log, of all its machines",
        example="logs 2026 --since 10m --wait",
        options=(
            _OF_A_RUN,
            _OF_JOB,
            WAIT,
            named(
                "since",
                "only lines since: 10m, 2h, or an ISO time (UTC)",
                read=since,
                value="when",
            ),
        ),
        answer='`{"job", "run-id", "state", "log"}`, the log as one text',
    ),
    Verb(
        name="results",
        help="fetch a run's results to results/<job>/<run-id>/",
        example="results 2026 --only 'output/*.png' --to /tmp/results",
        options=(
            _OF_A_RUN,
            _OF_JOB,
            named(
                "only",
                "only what matches: a folder, or a pattern in quotes; * stands for slashes too",
                value="pattern",
            ),
            named("to", "the folder to put them below", value="folder", completes="files"),
        ),
        answer=(
            '`{"job", "run-id", "state", "folder", "files", "new", "refused"}`: how many are '
            "here, how many of them are new, and which were not fetched"
        ),
    ),
    Verb(
        name="shell",
        help="open a shell on a run's machine",
        example="shell 20261124-05",
        options=(_OF_A_RUN, _OF_JOB),
        unanswered="what is typed there answers",
    ),
    Verb(
        name="stop",
        help="end a run early, gently: its results are stored first",
        example="stop 20261124-05 --wait",
        options=(
            _OF_A_RUN,
            _OF_JOB,
            named("grid", "this grid and its trials: its id, the beginning, or last", value="grid"),
            WAIT,
        ),
        answer=(
            "of a grid the launch function's answer; else "
            '`{"job", "run-id", "state"}`, as it was asked or, with `--wait`, as it ended; a run '
            "between two machines ends at once"
        ),
    ),
    Verb(
        name="extend",
        help="give a run more time, within the caps",
        example="extend 20261124-05 --minutes 30",
        options=(
            _OF_A_RUN,
            _OF_JOB,
            named(
                "minutes",
                "how much more",
                read=whole(1, 10_080, "minutes"),
                value="n",
                default=30,
            ),
        ),
        answer='`{"job", "run-id", "stack-name", "deadline"}`, the new one',
    ),
)
