"""training-config.json, read into a TrainingConfig; every fault is reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..errors import InvalidConfig, found
from .fields import (
    Amount,
    Choice,
    Data,
    Field,
    Flag,
    Parameters,
    Secrets,
    Several,
    Text,
    Whole,
    canonical,
    read_fields,
)
from .files import decode, read_object
from .retry import CAPACITY, CAUSES, INTERRUPTION, ON_DEMAND, SPOT, Retry

CONFIG_FILENAME = "training-config.json"
ORIGINAL_TEMPLATE = "cloudformation.json"
"""The original Parris named its own packaged template in every config; ours stands in for it."""

COMPLETION, FIXED_TIME, COST = "training-completion", "at-fixed-time", "around-cost"
TERMINATION_METHODS = (COMPLETION, FIXED_TIME, COST)
LIMITED_BY = {FIXED_TIME: "time-limit", COST: "cost-limit"}
"""The limit that a method needs. Where none is named, a limit that is given names it."""
OUR_TEMPLATES = ("", ORIGINAL_TEMPLATE)
MAX_STACK_NAME = 128
"""Characters (CloudFormation API reference, CreateStack, StackName)."""
SUFFIX_DIGITS = 8
"""Of its id, which a run's stack bears after a hyphen where several of the job may go at once."""
LONGEST_OF_SEVERAL = MAX_STACK_NAME - SUFFIX_DIGITS - 1
"""Characters of such a job's own name."""
MARKETS = (ON_DEMAND, SPOT)
CLUSTER, ANY = "cluster", "any"
KEEP_STACK = ("never", "on-failure", "always")
MOST_NODES = 16
"""Machines of a run at once. Each is a RunInstances of its own, of which an account may begin five
at once and two a second (EC2 developer guide, "Request throttling"): 16 take six seconds."""


_FILE = r"(?!/)(?!.*\.\.)[A-Za-z0-9._/-]{1,200}"
LIMITS: Mapping[str, Field] = {
    "time-limit": Whole(minimum=1, maximum=10080, unit="minutes"),
    "cost-limit": Amount(maximum=100_000, unit="US dollars"),
}
"""Accepted at the top and inside ``termination-options``, but not in both."""
RETRY: Mapping[str, Field] = {
    "on": Several(
        field=Choice(values=CAUSES, default=""), default=(INTERRUPTION, CAPACITY), least=0
    ),
    "exit-statuses": Several(field=Whole(minimum=1, maximum=255, unit=""), least=0),
    "attempts": Whole(minimum=1, maximum=100, unit="attempts", default=10),
}
"""What ``retry`` holds: after what a run gets another machine, and how many it may have."""
OPTIONS: Mapping[str, Mapping[str, Field]] = {"termination-options": LIMITS, "retry": RETRY}
"""Keys that hold keys."""

FIELDS: Mapping[str, Field] = {
    # The name becomes the stack's.
    "training-job-name": Text(
        pattern=f"[A-Za-z][-A-Za-z0-9]{{0,{MAX_STACK_NAME - 1}}}",
        allowed=f"1 to {MAX_STACK_NAME} letters, digits and hyphens, the first a letter",
        default="parris-stack",
    ),
    "training-script-filename": Text(
        pattern=_FILE,
        allowed="a file below the job's folder",
        default="trainer-script.sh",
    ),
    "cloudformation-template-filename": Text(
        pattern=f"(?:{_FILE})?", allowed="a file below the job's folder"
    ),
    "termination-method": Choice(values=TERMINATION_METHODS),
    **LIMITS,
    "instance-type": Several(
        field=Text(
            pattern=r"[a-z][a-z0-9-]{1,19}\.[a-z0-9-]{2,20}",
            allowed="an EC2 instance type such as c7i.large",
        ),
        default=("t3.medium",),
    ),
    "instance-iam-role-name": Text(
        pattern="[A-Za-z0-9_+=,.@-]{0,64}", allowed="the name of an IAM role"
    ),
    "security-group-id": Text(
        pattern="(?:sg-[0-9a-f]{8,17})?", allowed="a security group id such as sg-0123456789abcdef0"
    ),
    "subnet-id": Several(
        field=Text(
            pattern="subnet-[0-9a-f]{8,17}", allowed="a subnet id such as subnet-0123456789abcdef0"
        ),
        words={"": ()},
    ),
    "ec2-keypair-name": Text(pattern="[ -~]{0,255}", allowed="the name of an EC2 key pair"),
    "stack-replacement": Flag(default=False),
    "several-at-once": Flag(default=False),
    "keep-stack": Choice(values=KEEP_STACK, default="never"),
    "image": Text(
        pattern="(?:ami-[0-9a-f]{8,17}|/aws/service/[A-Za-z0-9._/-]{1,200})?",
        allowed="an image id (ami-…) or a public SSM parameter (/aws/service/…)",
    ),
    "volume-size-gb": Whole(minimum=8, maximum=16384, unit="GiB"),
    "nodes": Whole(minimum=1, maximum=MOST_NODES, unit="machines", default=1),
    "placement": Choice(values=(CLUSTER, ANY), default=CLUSTER),
    "market": Several(
        field=Choice(values=MARKETS),
        default=(ON_DEMAND,),
        words={"spot-then-on-demand": (SPOT, ON_DEMAND)},
    ),
    "max-wait-minutes": Whole(minimum=0, maximum=1440, unit="minutes", default=60),
    "parameters": Parameters(),
    "setup-script": Text(pattern=f"(?:{_FILE})?", allowed="a file below the job's folder"),
    "setup-inputs": Several(
        field=Text(pattern=_FILE, allowed="a file or a folder below the job's folder")
    ),
    "container": Text(
        pattern=r"(?:[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254})?",
        allowed="a container image such as python:3.12-slim",
    ),
    "secrets": Secrets(),
    "data": Data(),
    "sync-interval-seconds": Whole(minimum=5, maximum=3600, unit="seconds", default=60),
    "stop-grace-seconds": Whole(minimum=1, maximum=600, unit="seconds", default=30),
    "idle-gpu-minutes": Whole(minimum=5, maximum=1440, unit="minutes"),
}


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """One job's configuration, complete. An empty string is something that was not given."""

    stack_name: str
    script: str
    template: str
    termination_method: str
    time_limit_minutes: int | None
    cost_limit_usd: Decimal | None
    instance_types: tuple[str, ...]
    instance_profile: str
    security_group_id: str
    subnet_ids: tuple[str, ...]
    key_name: str
    stack_replacement: bool
    several_at_once: bool
    keep_stack: str
    image: str
    volume_size_gb: int | None
    nodes: int
    """Machines that train together; the first is the head."""
    placement: str
    markets: tuple[str, ...]
    retry: Retry
    setup_script: str
    setup_inputs: tuple[str, ...]
    container: str
    parameters: Mapping[str, str]
    secrets: Mapping[str, str]
    """Where each is held, by the variable that it becomes."""
    data: Sequence[Mapping[str, str]]
    """What is fetched (``s3``), and where to (``to``)."""
    sync_interval_seconds: int
    stop_grace_seconds: int
    idle_gpu_minutes: int | None

    @property
    def scripts(self) -> tuple[str, str, tuple[str, ...]]:
        """The script that trains, the one that sets up, and what that needs."""
        return self.script, self.setup_script, self.setup_inputs


def read_config(text: str | bytes, source: str) -> TrainingConfig:
    """Return the configuration in `text`.

    Args:
        text: the content of a training-config.json.
        source: what to call it in a message.

    Raises:
        InvalidConfig: with every fault found: its key, what was found, what is allowed.
    """
    given = read_object(text if isinstance(text, str) else decode(text, source), source)
    problems: list[str] = []
    values = canonical(given, FIELDS.keys() | OPTIONS.keys(), "", problems)
    limits, retry = (_options(values.pop(name, {}), name, problems) for name in OPTIONS)
    for key in limits.keys() & values.keys():
        problems.append(f"{key}: given at the top and in termination-options; keep one")
    values.update(limits)
    read = read_fields(FIELDS, values, "", problems)
    again = read_fields(RETRY, retry, "retry.", problems)
    for method, limit in LIMITED_BY.items():
        if values.get("termination-method") == method and limit not in values:
            problems.append(f'{limit}: missing; termination-method "{method}" needs it')
    if read["several-at-once"]:
        problems += _problems_of_several(read)
    if read["nodes"] > 1 and read["cloudformation-template-filename"] not in OUR_TEMPLATES:
        problems.append("nodes: a job's own template makes one machine; leave one of them out")
    if problems:
        raise InvalidConfig(source, problems)
    return TrainingConfig(
        stack_name=read["training-job-name"],
        script=read["training-script-filename"],
        template=read["cloudformation-template-filename"],
        termination_method=read["termination-method"] or _method_of(read),
        time_limit_minutes=read["time-limit"],
        cost_limit_usd=read["cost-limit"],
        instance_types=read["instance-type"],
        instance_profile=read["instance-iam-role-name"],
        security_group_id=read["security-group-id"],
        subnet_ids=read["subnet-id"],
        key_name=read["ec2-keypair-name"],
        stack_replacement=read["stack-replacement"],
        several_at_once=read["several-at-once"],
        keep_stack=read["keep-stack"],
        image=read["image"],
        volume_size_gb=read["volume-size-gb"],
        nodes=read["nodes"],
        placement=read["placement"],
        markets=read["market"],
        retry=Retry(
            on=again["on"],
            exit_statuses=again["exit-statuses"],
            attempts=again["attempts"],
            max_wait_minutes=read["max-wait-minutes"],
        ),
        setup_script=read["setup-script"],
        setup_inputs=read["setup-inputs"],
        container=read["container"],
        parameters=read["parameters"],
        secrets=read["secrets"],
        data=read["data"],
        sync_interval_seconds=read["sync-interval-seconds"],
        stop_grace_seconds=read["stop-grace-seconds"],
        idle_gpu_minutes=read["idle-gpu-minutes"],
    )


def _method_of(read: Mapping[str, Any]) -> str:
    given = (method for method, limit in LIMITED_BY.items() if read[limit] is not None)
    return next(given, COMPLETION)


def _problems_of_several(read: Mapping[str, Any]) -> list[str]:
    problems = []
    if read["stack-replacement"]:
        problems.append(
            "several-at-once: with stack-replacement each launch would both replace the last run "
            "and go beside it; keep one"
        )
    if len(read["training-job-name"]) > LONGEST_OF_SEVERAL:
        problems.append(
            f"training-job-name: at most {LONGEST_OF_SEVERAL} characters with several-at-once, "
            f"which adds a hyphen and {SUFFIX_DIGITS} of the run's to each stack's name"
        )
    return problems


def _options(options: Any, name: str, problems: list[str]) -> dict[str, Any]:
    if isinstance(options, dict):
        return canonical(options, set(OPTIONS[name]), f"{name}.", problems)
    problems.append(f"{name}: {found(options)} is not an object")
    return {}
