"""The verbs about deployments and the embedded cloud. Nothing is imported here that takes time."""

from __future__ import annotations

from scripts.cli.verb import Option, Verb, named, text, whole

_WHOLE_PLAN = Option(name="plan", help="show terraform's whole plan too")
_COUNTS = '`{"add", "change", "remove"}`: how many resources, as terraform counts them'


def _port(default: int) -> Option:
    return named(
        "port",
        "of 127.0.0.1; 0 takes a free one",
        read=whole(0, 65535, "a port"),
        value="n",
        default=default,
        make_name="LOCAL_PORT",
    )


VERBS = (
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
        options=(Option(name="yes", help="do not ask"), _WHOLE_PLAN),
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
        options=(_port(4566),),
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
        options=(_port(0),),
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
