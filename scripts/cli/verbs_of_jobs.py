"""The verbs about jobs, what starts them, and what they leave. Nothing is imported here that takes
time."""

from __future__ import annotations

from scripts.cli.verb import (
    WAIT,
    Option,
    Verb,
    job,
    named,
    text,
    whole,
)

VERBS = (
    Verb(
        name="jobs",
        help="list the jobs: where each is, its last run, what starts it",
        example="jobs --json",
        answer=(
            '`[{"job", "folder", "bucket", "run-id", "state", "stack-name", "schedules", '
            '"data-triggers"}]`: in the folder, in the bucket; its last run; names'
        ),
    ),
    Verb(
        name="schedules",
        help="list the next five times of each schedule",
        example="schedules --json",
        answer=(
            '`[{"name", "job", "expression", "enabled", "overlap", "next", "problem"}]`, '
            "`next` in UTC"
        ),
    ),
    Verb(
        name="fire",
        help="set a trigger off as its own source would",
        example="fire schedule --name nightly",
        options=(
            Option(
                name="trigger",
                help="which kind",
                read=text,
                first=True,
                choices=("button", "device", "schedule", "data", "interruption"),
            ),
            named("click", "of a button: SINGLE, DOUBLE or LONG", default="", value="click"),
            named("serial", "of a button: its serial number", default="", value="number"),
            job("of a device's message: the job to launch; of an interruption: the run's"),
            named("payload", "of a device's message: parameters", default="", value="json"),
            named("name", "of a schedule or a data trigger", default="", value="name"),
            named("key", "of new data: the object", default="", value="key"),
            named(
                "file",
                "of new data: what to put there",
                default="",
                value="file",
                completes="files",
            ),
            named("run", "of an interruption: whose machine EC2 takes away", value="run"),
            named(
                "notice",
                "of an interruption: how long before its end a spot machine is told, 0 for never",
                read=whole(0, 120, "seconds"),
                value="seconds",
            ),
            WAIT,
        ),
        answer=(
            '`{"trigger", "did", "job", "run-id", "state", "reason"}`, the last four null if '
            "no run began; with `--wait` also `outcome`"
        ),
    ),
    Verb(
        name="bucket",
        help="make a data trigger's bucket, and let it tell of its objects",
        example="bucket my-data",
        options=(
            Option(
                name="name",
                help="of the bucket",
                read=text,
                value="name",
                default="",
                first=True,
            ),
        ),
        answer=(
            '`{"bucket", "region", "made", "told", "watched"}`: whether it was made now, '
            "whether it was let tell EventBridge now, whether a data trigger watches it"
        ),
    ),
    Verb(
        name="upload-config",
        alias="upload",
        help="check the jobs and upload what changed",
        example="upload monte-carlo",
        options=(
            job("only this job", first=True),
            Option(name="check", help="check only; needs no deployment"),
        ),
        answer=(
            '`{"<job>": {"uploaded", "removed", "unchanged", "plan"}}`: keys, keys, a count, and '
            'where something changed the last line of its plan; with `--check` `{"<job>": null}`'
        ),
    ),
    Verb(
        name="clean-stacks",
        alias="clean",
        help="delete stacks whose run is over",
        example="clean --wait",
        options=(
            Option(name="all", help="also those of live runs, after asking"),
            Option(name="yes", help="do not ask"),
            Option(name="wait", help="wait until they are gone"),
        ),
        answer='`{"asked", "failed"}`: names of stacks; names to reasons',
    ),
)
