"""Every verb of ./parris with its options, in one table: help, make's variables, completion and
docs/commands.md are made from it. Nothing is imported here that takes time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripts.cli.verb import Option, Verb, pair, text, whole


def _job(help_text: str, *, first: bool = False) -> Option:
    return Option(name="job", help=help_text, read=text, value="job", first=first, completes="jobs")


def _run(help_text: str) -> Option:
    return Option(name="run", help=help_text, read=text, value="run", first=True)


def _named(name: str, help_text: str, **more: Any) -> Option:
    return Option(name=name, help=help_text, read=more.pop("read", text), **more)


_WHOLE_PLAN = Option(name="plan", help="show terraform's whole plan too")
_YES = Option(name="yes", help="do not ask")
_WAIT = Option(name="wait", help="follow it to its end and exit with its result")
_COUNTS = '`{"add", "change", "remove"}`: how many resources, as terraform counts them'
_PORT = whole(0, 65535, "a port")
_OF_A_RUN = _run("its id or the beginning of it; by default the newest")
_OF_JOB = _job("only runs of this job")
MAX_COUNT = 10_000
"""How many runs a status may be asked for."""

VERBS: Mapping[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(
            name="launch",
            help="start a training",
            example="launch monte-carlo --parameter rounds=20 --wait",
            options=(
                _job("which job; default if none is named", first=True),
                Option(
                    name="parameter",
                    help="for the trainer, in place of the job's own; may be repeated",
                    read=pair,
                    value="name=value",
                    default=[],
                    make_name="PARAMETERS",
                    short="p",
                    many=True,
                ),
                Option(
                    name="upload",
                    help="1: first upload what changed in the job's folder; 0: never; else it asks",
                    read=text,
                    value="0|1",
                    default="",
                    choices=("0", "1", ""),
                ),
                _named(
                    "resume",
                    "begin with the checkpoints of this run, or of the job's last one that trained",
                    value="run|last",
                ),
                _WAIT,
                _named("event-id", "launch at most once for this id", value="id"),
            ),
            answer=(
                "the launch function's answer (contracts.md, Events); with `--wait` also `state`, "
                "`reason` and `outcome` of the run"
            ),
        ),
        Verb(
            name="status",
            help="list the newest runs, and the stacks that stand; or show one run in full",
            example="status monte-carlo --count 5",
            options=(
                _job("only runs of this job", first=True),
                _named("run", "this run in full: its id or the beginning of it", value="run"),
                _named(
                    "count",
                    "how many runs",
                    read=whole(1, MAX_COUNT, "runs"),
                    value="n",
                    default=20,
                ),
            ),
            answer=(
                '`{"runs": [{"job", "run-id", "state", "reason", "ended-by", "stack-status", '
                '"receipt", "outcome"}], "refused": [the same of launches that were refused], '
                '"stacks": [{"stack-name", "status", "job", "run-id", "deadline"}]}`; with `--run` '
                "one of `runs`"
            ),
        ),
        Verb(
            name="logs",
            help="show a run's log",
            example="logs 2026",
            options=(_OF_A_RUN, _OF_JOB, _WAIT),
            answer='`{"job", "run-id", "state", "log"}`, the log as one text',
        ),
        Verb(
            name="results",
            help="fetch a run's results to results/<job>/<run-id>/",
            example="results 2026 --to /tmp/results",
            options=(
                _OF_A_RUN,
                _OF_JOB,
                _named("to", "the folder to put them below", value="folder", completes="files"),
            ),
            answer=(
                '`{"job", "run-id", "state", "folder", "files", "refused"}`: how many were '
                "fetched, and which were not"
            ),
        ),
        Verb(
            name="stop",
            help="end a run early, gently: its results are stored first",
            example="stop 20261124-05 --wait",
            options=(_OF_A_RUN, _OF_JOB, _WAIT),
            answer='`{"job", "run-id", "state"}`, as it was asked or, with `--wait`, as it ended',
        ),
        Verb(
            name="extend",
            help="give a run more time, within the caps",
            example="extend 20261124-05 --minutes 30",
            options=(
                _OF_A_RUN,
                _OF_JOB,
                _named(
                    "minutes",
                    "how much more",
                    read=whole(1, 10_080, "minutes"),
                    value="n",
                    default=30,
                ),
            ),
            answer='`{"job", "run-id", "stack-name", "deadline"}`, the new one',
        ),
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
                    choices=("button", "device", "schedule", "data"),
                ),
                _named("click", "of a button: SINGLE, DOUBLE or LONG", default="", value="click"),
                _named("serial", "of a button: its serial number", default="", value="number"),
                _job("of a device's message: the job to launch"),
                _named("payload", "of a device's message: parameters", default="", value="json"),
                _named("name", "of a schedule or a data trigger", default="", value="name"),
                _named("key", "of new data: the object", default="", value="key"),
                _named(
                    "file",
                    "of new data: what to put there",
                    default="",
                    value="file",
                    completes="files",
                ),
                _WAIT,
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
                _job("only this job", first=True),
                Option(name="check", help="check only; needs no deployment"),
            ),
            answer=(
                '`{"<job>": {"uploaded", "removed", "unchanged"}}`: keys, keys, a count; with '
                '`--check` `{"<job>": null}`'
            ),
        ),
        Verb(
            name="clean-stacks",
            alias="clean",
            help="delete stacks whose run is over",
            example="clean --wait",
            options=(
                Option(name="all", help="also those of live runs, after asking"),
                _YES,
                Option(name="wait", help="wait until they are gone"),
            ),
            answer='`{"asked", "failed"}`: names of stacks; names to reasons',
        ),
        Verb(
            name="init",
            help="terraform init, from the registry or a mirror",
            example="init",
            unanswered="it is done or it is not, which its exit status says",
        ),
        Verb(
            name="deploy",
            help="show what will change, ask, apply",
            example="deploy --plan",
            options=(_YES, _WHOLE_PLAN),
            passes_on=True,
            answer=_COUNTS,
        ),
        Verb(
            name="destroy",
            help="terraform destroy; refuses while runs live, and to delete results",
            example="destroy",
            options=(Option(name="yes", help="do not ask; never ends a run"), _WHOLE_PLAN),
            passes_on=True,
            answer=_COUNTS,
        ),
        Verb(
            name="local-up",
            help="start the embedded cloud for --local",
            example="local-up --port 4577",
            options=(
                _named(
                    "port",
                    "of 127.0.0.1; 0 takes a free one",
                    read=_PORT,
                    value="n",
                    default=4566,
                    make_name="LOCAL_PORT",
                ),
            ),
            answer='`{"endpoint", "region", "started"}`',
            always_local=True,
        ),
        Verb(
            name="local-down",
            help="stop the embedded cloud and all it runs",
            example="local-down",
            answer='`{"was-up"}`',
            always_local=True,
        ),
        Verb(
            name="local-env",
            help="print what an aws CLI needs to go to the embedded cloud",
            example='local-env   # eval "$(./parris local-env)"',
            answer='`{"set", "unset"}`: variables with their values; names',
            always_local=True,
        ),
        Verb(
            name="local-mail",
            help="show the e-mails of the embedded cloud",
            example="local-mail",
            answer='`[{"file", "mail"}]`, the oldest first, each mail as one text',
            always_local=True,
        ),
        Verb(
            name="demo",
            help="the whole system on this machine, no AWS account",
            example="demo",
            options=(
                _named(
                    "port",
                    "of 127.0.0.1; 0 takes a free one",
                    read=_PORT,
                    value="n",
                    default=0,
                    make_name="LOCAL_PORT",
                ),
            ),
            unanswered="it shows a person what each step prints",
            always_local=True,
        ),
        Verb(
            name="drill",
            help="break every layer that ends a run, and show what ends it",
            example="drill --json",
            answer=(
                '`[{"fault", "layer", "machine-off", "stack-gone", "state", "saved", "problems", '
                "…}]`, a row a fault, in seconds after the deadline"
            ),
            always_local=True,
        ),
        Verb(
            name="version",
            help="print the version of this clone, and of what is deployed from it",
            example="version --json",
            answer='`{"version", "commit", "deployed"}`, the last two null where there is none',
        ),
        Verb(
            name="completion",
            help="print what makes a shell complete these verbs",
            example='completion bash   # eval "$(./parris completion bash)" in ~/.bashrc',
            options=(
                Option(name="shell", help="which", read=text, first=True, choices=("bash", "zsh")),
            ),
            unanswered="what it prints is for a shell",
        ),
    )
}
ALIASES = {verb.alias: verb.name for verb in VERBS.values() if verb.alias}

WITHOUT_TARGET = ("completion", "version")
"""Verbs that make has no target for."""
