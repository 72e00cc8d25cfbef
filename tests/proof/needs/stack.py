"""CloudFormation, while it builds, changes and deletes a training stack."""

from tests.proof.common import ANOTHERS, OURS, passed_to
from tests.proof.table import Rows

_EC2 = "arn:aws:ec2:{region}:{account}"
_TEMPLATE = f"{_EC2}:launch-template/lt-0123456789abcdef0"
_INSTANCE = f"{_EC2}:instance/i-0123456789abcdef0"
_VOLUME = f"{_EC2}:volume/vol-0123456789abcdef0"
_SCHEDULE = "arn:aws:scheduler:{region}:{account}:schedule/default"
_ROLE = "arn:aws:iam::{account}:role"
_HANDLERS = "handlers of the resource type's schema (scripts/local/handler_permissions.json)"
_RUN = f"{_HANDLERS}; resources by the service authorization reference, RunInstances"
_BORN = {"aws:RequestTag/parris:deployment": "{deployment}"}
_UNSEEN = "the embedded cloud builds stacks with no role's rights"

NEEDS: Rows = [
    (
        [
            "ec2:DescribeInstanceAttribute",
            "ec2:DescribeInstanceCreditSpecifications",
            "ec2:DescribeInstances",
            "ec2:DescribeKeyPairs",
            "ec2:DescribeLaunchTemplateVersions",
            "ec2:DescribeLaunchTemplates",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVolumes",
            "ec2:DescribeVpcs",
        ],
        "*",
        _HANDLERS,
        {},
        _UNSEEN,
    ),
    (
        "ec2:RunInstances",
        [_INSTANCE, _VOLUME],
        _RUN,
        {**_BORN, "aws:TagKeys": ["parris:deployment", "parris:job"]},
        _UNSEEN,
    ),
    (
        "ec2:RunInstances",
        [
            f"{_EC2}:network-interface/eni-0",
            f"{_EC2}:subnet/subnet-0",
            f"{_EC2}:security-group/sg-0",
            f"{_EC2}:key-pair/mine",
            "arn:aws:ec2:{region}::image/ami-0",
        ],
        _RUN,
        {},
        _UNSEEN,
    ),
    ("ec2:RunInstances", _TEMPLATE, _RUN, OURS, _UNSEEN),
    ("ec2:CreateLaunchTemplate", _TEMPLATE, _HANDLERS, _BORN, _UNSEEN),
    (
        ["ec2:CreateLaunchTemplateVersion", "ec2:DeleteLaunchTemplate"],
        _TEMPLATE,
        _HANDLERS,
        OURS,
        _UNSEEN,
    ),
    (
        "ec2:CreateTags",
        [_INSTANCE, _VOLUME],
        _HANDLERS,
        {**_BORN, "ec2:CreateAction": "RunInstances"},
        _UNSEEN,
    ),
    (
        "ec2:CreateTags",
        _TEMPLATE,
        _HANDLERS,
        {**_BORN, "ec2:CreateAction": "CreateLaunchTemplate"},
        _UNSEEN,
    ),
    ("ec2:DeleteTags", _TEMPLATE, _HANDLERS, OURS, _UNSEEN),
    ("ec2:TerminateInstances", _INSTANCE, _HANDLERS, OURS, _UNSEEN),
    (
        [
            "scheduler:CreateSchedule",
            "scheduler:GetSchedule",
            "scheduler:UpdateSchedule",
            "scheduler:DeleteSchedule",
        ],
        f"{_SCHEDULE}/{{deployment}}-20261124-abcdef",
        _HANDLERS,
        {},
        _UNSEEN,
    ),
    (
        "iam:PassRole",
        f"{_ROLE}/{{deployment}}-scheduler-{{region}}",
        _HANDLERS,
        passed_to("scheduler"),
        _UNSEEN,
    ),
    (
        "iam:PassRole",
        [f"{_ROLE}/{{deployment}}-instance-{{region}}", f"{_ROLE}/another-machine"],
        _HANDLERS,
        passed_to("ec2"),
        _UNSEEN,
    ),
    (
        "iam:CreateServiceLinkedRole",
        f"{_ROLE}/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot",
        "EC2 user guide, 'Service-linked role for Spot Instance requests'",
        {"iam:AWSServiceName": "spot.amazonaws.com"},
        "the embedded cloud makes no service-linked role",
    ),
]

REFUSALS: Rows = [
    ("ec2:TerminateInstances", _INSTANCE, "another's machine", ANOTHERS),
    ("ec2:TerminateInstances", _INSTANCE, "nobody's machine"),
    ("ec2:TerminateInstances", _VOLUME, "what is no machine", OURS),
    (
        ["ec2:CreateLaunchTemplateVersion", "ec2:DeleteLaunchTemplate"],
        _INSTANCE,
        "what is no launch template",
        OURS,
    ),
    (
        ["ec2:CreateTags", "ec2:DeleteTags"],
        f"{_EC2}:vpc/vpc-0",
        "what no run has",
        OURS,
    ),
    (
        ["scheduler:CreateSchedule", "scheduler:DeleteSchedule"],
        f"{_SCHEDULE}/another-20261124-abcdef",
        "another's schedule",
    ),
    ("iam:PassRole", f"{_ROLE}/admin", "another role", passed_to("scheduler")),
    ("iam:PassRole", f"{_ROLE}/admin", "another role", passed_to("ec2")),
    (
        "iam:PassRole",
        [
            f"{_ROLE}/{{deployment}}-scheduler-{{region}}",
            f"{_ROLE}/{{deployment}}-instance-{{region}}",
        ],
        "another service",
        passed_to("lambda"),
    ),
    (
        "iam:CreateServiceLinkedRole",
        f"{_ROLE}/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot",
        "another service's role",
        {"iam:AWSServiceName": "ops.amazonaws.com"},
    ),
    (
        "iam:CreateServiceLinkedRole",
        f"{_ROLE}/aws-service-role/ops.amazonaws.com/x",
        "another service's role",
        {"iam:AWSServiceName": "spot.amazonaws.com"},
    ),
]
