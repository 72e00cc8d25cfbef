"""What the roles of a launch may do, asked of IAM's policy simulator.

Only what a job's choices and an organization's policies may change is asked: the machine, its
image, its tags, the roles that are passed, the data and the secrets that the job begins with. Of
the latter only the role's own policies are asked, not those of a bucket or a secret. `make prove`
proves the module's own policies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parris.jobs.config import CLUSTER
from parris.jobs.retry import SPOT
from parris.launch.render import resource_types, stack_tags
from parris.runs.plan import RunPlan
from parris.settings import Settings

Context = Mapping[str, str | Sequence[str]]
"""Condition keys of a request, with a value or a list of them."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """Whether a role may do all of `actions` on all of `resources`."""

    role_arn: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    context: Context
    cure: str = "what it must be let do is in terraform output role_policies"
    is_exact: bool = True
    """Whether `resources` are the very ones: of a secret's ARN its name alone may be known."""


@dataclass(frozen=True, kw_only=True)
class Denial:
    """One thing that a role may not do."""

    role_arn: str
    action: str
    resource: str
    why: str
    """``explicitDeny`` or ``implicitDeny``, and what stands behind it."""
    cure: str
    is_certain: bool

    def __str__(self) -> str:
        role = self.role_arn.rpartition("/")[2]
        return f"role {role} may not {self.action} on {self.resource} ({self.why})"


def questions(
    plan: RunPlan, settings: Settings, launch_role_arn: str, account_id: str
) -> Iterator[Question]:
    """Yield what a launch asks of the launch function's role and of the stack's."""
    partition = settings.stack_role_arn.split(":")[1]
    here = f"{plan.region}:{account_id}"
    ec2 = f"arn:{partition}:ec2:{here}"
    tags = stack_tags(plan, settings.stack_tags)
    born: dict[str, str | Sequence[str]] = {
        "aws:RequestTag/parris:deployment": plan.deployment,
        "aws:TagKeys": sorted(tags),
        **{f"aws:RequestTag/{key}": value for key, value in tags.items()},
    }
    ours = {"aws:ResourceTag/parris:deployment": plan.deployment}
    yield Question(
        role_arn=launch_role_arn,
        actions=("cloudformation:CreateStack", "cloudformation:TagResource"),
        resources=(f"arn:{partition}:cloudformation:{here}:stack/{plan.stack_name}/*",),
        context={
            **born,
            "cloudformation:ResourceTypes": resource_types(plan),
            "cloudformation:RoleArn": settings.stack_role_arn,
        },
    )
    yield _passing(launch_role_arn, settings.stack_role_arn, "cloudformation")
    stack = settings.stack_role_arn
    template = f"{ec2}:launch-template/*"
    yield Question(
        role_arn=stack,
        actions=("ec2:CreateLaunchTemplate",),
        resources=(template,),
        context=born,
    )
    machine = {**born, **ours, "ec2:InstanceType": plan.rung.instance_type}
    requests = (f"{ec2}:spot-instances-request/*",) if plan.rung.market == SPOT else ()
    made = (f"{ec2}:instance/*", f"{ec2}:volume/*", f"{ec2}:network-interface/*", *requests)
    yield Question(
        role_arn=stack,
        actions=("ec2:RunInstances",),
        resources=(
            *made,
            f"{ec2}:subnet/{plan.rung.subnet_id or '*'}",
            *(f"{ec2}:security-group/{group}" for group in plan.security_group_ids or ("*",)),
            template,
            *([f"{ec2}:key-pair/{plan.config.key_name}"] if plan.config.key_name else []),
        ),
        context=machine,
    )
    yield Question(
        role_arn=stack,
        actions=("ec2:CreateTags",),
        resources=made,
        context={**born, "ec2:CreateAction": "RunInstances"},
    )
    if plan.config.nodes > 1:
        group = (f"{ec2}:security-group/*",)
        yield Question(
            role_arn=stack, actions=("ec2:CreateSecurityGroup",), resources=group, context=born
        )
        yield Question(
            role_arn=stack,
            actions=("ec2:AuthorizeSecurityGroupIngress", "ec2:DeleteSecurityGroup"),
            resources=group,
            context=ours,
        )
    if plan.config.nodes > 1 and plan.config.placement == CLUSTER:
        group = (f"{ec2}:placement-group/*",)
        yield Question(
            role_arn=stack, actions=("ec2:CreatePlacementGroup",), resources=group, context=born
        )
        yield Question(
            role_arn=stack,
            actions=("ec2:RunInstances", "ec2:DeletePlacementGroup"),
            resources=group,
            context=ours,
        )
    yield Question(
        role_arn=stack,
        actions=("scheduler:CreateSchedule",),
        resources=(
            f"arn:{partition}:scheduler:{here}:schedule/{settings.schedule_group}/"
            f"{plan.deployment}-{plan.run_id}",
        ),
        context={},
    )
    yield _passing(stack, settings.scheduler_role_arn, "scheduler")


def questions_of_inputs(plan: RunPlan, role_arn: str, account_id: str) -> Iterator[Question]:
    """Yield what a job's machine asks before its trainer starts (trainer/runtime/agent/inputs.py).

    Args:
        role_arn: of the machine.
    """
    partition = role_arn.split(":")[1]
    for one in plan.config.data:
        bucket, _, key = one["s3"].removeprefix("s3://").partition("/")
        at = f"arn:{partition}:s3:::{bucket}"
        is_prefix = not key or key.endswith("/")
        cure = f"add {one['s3']} to the Terraform variable data_sources, and apply"
        read = f"{at}/{key}*" if is_prefix else f"{at}/{key}"
        yield Question(
            role_arn=role_arn, actions=("s3:GetObject",), resources=(read,), context={}, cure=cure
        )
        if is_prefix:
            yield Question(
                role_arn=role_arn,
                actions=("s3:ListBucket",),
                resources=(at,),
                context={"s3:prefix": key},
                cure=cure,
            )
    for reference in sorted(set(plan.config.secrets.values())):
        yield _of_secret(reference, role_arn, f"{plan.region}:{account_id}")


def _of_secret(reference: str, role_arn: str, here: str) -> Question:
    partition = role_arn.split(":")[1]
    service, _, name = reference.partition(":")
    if service == "ssm":
        action = "ssm:GetParameter"
        arn = f"arn:{partition}:ssm:{here}:parameter/{name.removeprefix('/')}"
    else:
        action = "secretsmanager:GetSecretValue"
        arn = name.partition("#")[0]
    is_exact = arn.startswith("arn:")
    if not is_exact:  # six characters of its own follow (Secrets Manager user guide, "Secret")
        arn = f"arn:{partition}:secretsmanager:{here}:secret:{arn}-*"
    return Question(
        role_arn=role_arn,
        actions=(action,),
        resources=(arn,),
        context={},
        cure=f"add the ARN of {reference} to the Terraform variable secret_arns, and apply",
        is_exact=is_exact,
    )


def question_of_image(plan: RunPlan, settings: Settings, image: str, owner: str) -> Question:
    """Return whether the stack's role may start a machine from `image`, which is `owner`'s.

    Args:
        owner: an alias such as ``amazon``, or an account.
    """
    partition = settings.stack_role_arn.split(":")[1]
    return Question(
        role_arn=settings.stack_role_arn,
        actions=("ec2:RunInstances",),
        resources=(f"arn:{partition}:ec2:{plan.region}::image/{image}",),
        context={"ec2:Owner": owner},
    )


def _passing(role_arn: str, passed: str, service: str) -> Question:
    return Question(
        role_arn=role_arn,
        actions=("iam:PassRole",),
        resources=(passed,),
        context={"iam:PassedToService": f"{service}.amazonaws.com"},
    )


def ask(iam: Any, question: Question) -> list[Denial]:
    """Return what of a question is denied.

    Of several resources AWS answers one result an action, with the decision on each resource in it
    (IAM API reference, "EvaluationResult"); older endpoints answer one a resource.
    """
    answer = iam.simulate_principal_policy(
        PolicySourceArn=question.role_arn,
        ActionNames=list(question.actions),
        ResourceArns=list(question.resources),
        ContextEntries=[
            {
                "ContextKeyName": key,
                "ContextKeyType": "string" if isinstance(value, str) else "stringList",
                "ContextKeyValues": [value] if isinstance(value, str) else list(value),
            }
            for key, value in question.context.items()
        ],
    )
    return [
        denial
        for result in answer["EvaluationResults"]
        if result["EvalDecision"] != "allowed"
        for denial in _denials(question, result)
    ]


def _denials(question: Question, result: Mapping[str, Any]) -> Iterator[Denial]:
    single: dict[str, str] = {
        one["EvalResourceName"]: one["EvalResourceDecision"]
        for one in result.get("ResourceSpecificResults", ())
        if one["EvalResourceDecision"] != "allowed"
    }
    if not single:
        single = {result.get("EvalResourceName", "*"): result["EvalDecision"]}
    for resource, decision in single.items():
        yield Denial(
            role_arn=question.role_arn,
            action=result["EvalActionName"],
            resource=resource,
            why=f"{decision}{_behind(result)}",
            cure=question.cure,
            is_certain=question.is_exact,
        )


def _behind(result: Mapping[str, Any]) -> str:
    for key, allowed, words in (
        ("OrganizationsDecisionDetail", "AllowedByOrganizations", "by the organization's policies"),
        (
            "PermissionsBoundaryDecisionDetail",
            "AllowedByPermissionsBoundary",
            "by the role's permissions boundary",
        ),
    ):
        detail = result.get(key)
        if detail is not None and not detail.get(allowed, True):
            return f", {words}"
    return ""
