"""A plan, rendered as the one CloudFormation call it is."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from shlex import quote

from ..errors import InvalidConfig
from ..jobs.config import ORIGINAL_TEMPLATE
from ..runs.names import KEEP_TAG
from ..runs.plan import RunPlan
from ..runs.times import iso

USER_DATA_SLOT = "{{user-data}}"
"""Where a template takes the base64 of the machine's first boot."""

ATTEMPT_SLOT = "{{attempt}}"
"""Where a template takes which machine of its run it makes."""

MAX_USER_DATA_BYTES = 16_384
"""EC2 user guide, "Run commands when you launch an EC2 instance with user data input": raw."""

MAX_TEMPLATE_BYTES = 51_200
"""CloudFormation user guide, "Understand CloudFormation quotas": template body in a request."""

RESOURCE_TYPES = ("AWS::EC2::Instance", "AWS::EC2::LaunchTemplate", "AWS::Scheduler::Schedule")
"""What a template may make."""
NODE_TYPES = (
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::EC2::PlacementGroup",
)
"""What that of a run of several machines may make besides. The stack's role may create nothing
else."""

_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U000([0-9a-fA-F]{5}))")
_FOLD = re.compile(r"\\\r?\n[ \t]*")
# A resource's type has three parts, or two (Custom::…); a parameter's has one or four.
_TYPE = re.compile(r"""\bType["']?\s*:\s*["']?((?:\w+::){1,2}[\w@-]+(?:::MODULE)?)(?![\w:@<-])""")
_POLICY = re.compile(
    r"""\b(DeletionPolicy|UpdateReplacePolicy)\b(["']?\s*:\s*["']?Delete["']?\s*(?:[,}#\r\n]|$))?"""
)
_MACRO = re.compile(r"""Fn::Transform|!Transform|\bTransform["']?\s*:""")


def render_user_data(script: str, plan: RunPlan) -> str:
    """Return `script` (user-data.sh) with the run's values put in after its first line.

    Raises:
        InvalidConfig: if it would be longer than EC2 takes.
    """
    values = {
        "PARRIS_JOB": plan.job,
        "PARRIS_RUN_ID": plan.run_id,
        "PARRIS_RUN_URI": f"s3://{plan.results_bucket}/{plan.prefix.rstrip('/')}",
        "PARRIS_LIMIT_MINUTES": str(plan.limit_minutes),
        "PARRIS_ATTEMPT": str(plan.attempt),
        "PARRIS_LOG_STREAM": plan.log_stream,
        "PARRIS_ROLE": plan.role,
        "AWS_DEFAULT_REGION": plan.region,
    }
    if plan.config.nodes > 1:
        values["PARRIS_NODES"] = str(plan.config.nodes)
    first, _, rest = script.partition("\n")
    exports = "\n".join(f"export {name}={quote(value)}" for name, value in values.items())
    text = f"{first}\n{exports}\n{rest}"
    if len(text.encode()) > MAX_USER_DATA_BYTES:
        raise InvalidConfig(
            "user-data.sh",
            [f"{len(text.encode())} bytes with the run's values; EC2 takes {MAX_USER_DATA_BYTES}"],
        )
    return text


def render_template(
    template: str,
    user_data: str,
    attempt: int,
    source: str,
    types: Sequence[str] = RESOURCE_TYPES,
) -> str:
    """Return the template body with the machine's first boot in its slot, and its number.

    Args:
        types: of the resources that it may make.

    Raises:
        InvalidConfig: if the template has no slot, or is longer than CloudFormation takes.
    """
    problems = template_problems(template, types)
    body = template.replace(USER_DATA_SLOT, base64.b64encode(user_data.encode()).decode())
    body = body.replace(ATTEMPT_SLOT, str(attempt))
    size = len(body.encode())
    if size > MAX_TEMPLATE_BYTES:
        problems.append(f"{size} bytes with user data; CloudFormation takes {MAX_TEMPLATE_BYTES}")
    if problems:
        raise InvalidConfig(source, problems)
    return body


def resource_types(plan: RunPlan) -> tuple[str, ...]:
    """Return what the stack of a run may hold."""
    return RESOURCE_TYPES + (NODE_TYPES if plan.config.nodes > 1 else ())


def template_problems(template: str, types: Sequence[str] = RESOURCE_TYPES) -> list[str]:
    """Return why a job's own template could not or may not run a training, without asking AWS.

    No YAML library is at hand, so this reads words, escapes undone, and rather refuses too much.
    CloudFormation itself refuses other types (ResourceTypes), and macros and IAM resources, which
    need Capabilities that no launch gives.
    """
    text = _ESCAPE.sub(lambda match: chr(int(match[1] or match[2] or match[3], 16)), template)
    text = _FOLD.sub("", text)
    problems = []
    if USER_DATA_SLOT not in template:
        problems.append(
            f'it has no UserData: "{USER_DATA_SLOT}", so no training would start and nothing would '
            "stop the machine; begin with a copy of cloudformation/training-stack.yaml, or leave "
            f"out cloudformation_template_filename (the original's {ORIGINAL_TEMPLATE} is not "
            "needed)"
        )
    for kind in sorted(set(_TYPE.findall(text)) - set(types)):
        problems.append(
            f"resource type {kind}: the stack's role may only make {', '.join(RESOURCE_TYPES)}"
        )
    for policy in sorted({match[1] for match in _POLICY.finditer(text) if not match[2]}):
        problems.append(f"{policy}: only Delete may stand there; what a run leaves costs money")
    if _MACRO.search(text):
        problems.append("Transform: macros are not allowed")
    return problems


def stack_parameters(
    plan: RunPlan, image_id: str, scheduler_role_arn: str, schedule_group: str
) -> dict[str, str]:
    """Return the parameters of training-stack.yaml; an empty string is "none given"."""
    return {
        "RunId": plan.run_id,
        "Job": plan.job,
        "Deployment": plan.deployment,
        "ImageId": image_id,
        "InstanceType": plan.rung.instance_type,
        "InstanceProfile": plan.instance_profile,
        "Market": plan.rung.market,
        "MaxPrice": plan.price.max_spot_price if plan.price and plan.budget_usd else "",
        "VolumeSize": str(plan.volume_size_gb),
        "SubnetId": plan.rung.subnet_id,
        "SecurityGroupId": ",".join(plan.security_group_ids),
        "KeyName": plan.config.key_name,
        "Deadline": iso(plan.deadline),
        "DeleteAt": schedule_time(plan.delete_at),
        "SchedulerRole": scheduler_role_arn,
        "ScheduleGroup": schedule_group,
    }


def schedule_time(time: datetime) -> str:
    """Return `time` as EventBridge Scheduler's ``at()`` takes it: UTC, without a zone."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"


def stack_tags(plan: RunPlan, own: Mapping[str, str]) -> dict[str, str]:
    """Return the stack's tags: the deployer's own, and Parris's, by which it grants access."""
    return {
        **own,
        "parris:deployment": plan.deployment,
        "parris:job": plan.job,
        "parris:run-id": plan.run_id,
        "parris:deadline": iso(plan.deadline),
        "parris:attempt": str(plan.attempt),
        "parris:log-stream": plan.log_stream,
        KEEP_TAG: plan.config.keep_stack,
    }
