"""CloudFormation, while it builds, changes and deletes a training stack."""

from tests.proof.common import (
    ANOTHER_KEY,
    ANOTHERS,
    ELSEWHERE,
    KEY,
    NO_KEY,
    OURS,
    VOLUME_KEY,
    passed_to,
)
from tests.proof.table import Rows

_EC2 = "arn:aws:ec2:{region}:{account}"
_TEMPLATE = f"{_EC2}:launch-template/lt-0123456789abcdef0"
_INSTANCE = f"{_EC2}:instance/i-0123456789abcdef0"
_VOLUME = f"{_EC2}:volume/vol-0123456789abcdef0"
_SCHEDULE = "arn:aws:scheduler:{region}:{account}:schedule"
_SPOT = f"{_EC2}:spot-instances-request/sir-0"
_GROUP_CALLS = [
    "ec2:AuthorizeSecurityGroupIngress",
    "ec2:DeleteSecurityGroup",
    "ec2:RevokeSecurityGroupIngress",
]
_PLACEMENT = f"{_EC2}:placement-group/a-run-Cluster-0123456789AB"
_GROUP = f"{_EC2}:security-group/sg-0123456789abcdef0"
_IN_VPC = "service authorization reference, CreateSecurityGroup: the VPC is a resource of its own"
_INTERFACE = f"{_EC2}:network-interface/eni-0"
_IMAGE = "arn:aws:ec2:{region}::image/ami-0"
_ROLE = "arn:aws:iam::{account}:role"
_HANDLERS = "handlers of the resource type's schema (scripts/local/handler_permissions.json)"
_RUN = f"{_HANDLERS}; resources by the service authorization reference, RunInstances"
_TAGS_LATER = "CloudFormation was seen to tag its instance in a second call (aws/aws-cdk #7835)"
_BORN = {"aws:RequestTag/parris:deployment": "{deployment}"}
_BORN_ANOTHERS = {"aws:RequestTag/parris:deployment": "another"}
_TYPE = {"ec2:InstanceType": "t3.micro"}
_OWNER = {"ec2:Owner": "amazon"}
_BY_PLACEMENT = {"ec2:CreateAction": "CreatePlacementGroup"}
_BY_RUN = {"ec2:CreateAction": "RunInstances"}
_KEYS = [KEY, VOLUME_KEY]
_VOLUMES = "EC2 user guide, 'Requirements for Amazon EBS encryption', permissions"
_ENCRYPTS = [
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
]
_BY_EC2 = {"kms:ViaService": "ec2.{region}.amazonaws.com", "kms:CallerAccount": "{account}"}
_OWN_TEMPLATE = "only a job's own template has such; training-stack.yaml has none"
_GRANT = {"kms:GrantIsForAWSResource": "true"}

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
            "ec2:DescribePlacementGroups",
            "ec2:DescribeSecurityGroupRules",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVolumes",
            "ec2:DescribeVpcs",
        ],
        "*",
        _HANDLERS,
    ),
    (
        "ec2:DescribeIamInstanceProfileAssociations",
        "*",
        f"{_HANDLERS}: of an instance with a profile of its own",
        {},
        _OWN_TEMPLATE,
    ),
    (
        ["ec2:DescribeAvailabilityZones", "ec2:DescribeImages"],
        "*",
        "CloudFormation user guide, 'AWS-specific parameter types'",
        {},
        _OWN_TEMPLATE,
    ),
    *(
        (
            "ec2:RunInstances",
            _INSTANCE,
            _RUN,
            {**_BORN, "ec2:InstanceType": kind, "aws:TagKeys": ["parris:deployment", "parris:job"]},
        )
        for kind in ("t3.micro", "c7g.large")
    ),
    ("ec2:RunInstances", _VOLUME, _RUN, _BORN),
    (
        "ec2:RunInstances",
        [
            _INTERFACE,
            _SPOT,
            f"{_EC2}:subnet/subnet-0",
            f"{_EC2}:security-group/sg-0",
            f"{_EC2}:key-pair/mine",
        ],
        _RUN,
    ),
    *(
        ("ec2:RunInstances", _IMAGE, _RUN, {"ec2:Owner": owner})
        for owner in ("amazon", "123456789012")
    ),
    ("ec2:RunInstances", [_TEMPLATE, _PLACEMENT], _RUN, OURS),
    ("ec2:CreateLaunchTemplate", _TEMPLATE, _HANDLERS, _BORN),
    ("ec2:DeleteLaunchTemplate", _TEMPLATE, _HANDLERS, OURS),
    (
        "ec2:CreateLaunchTemplateVersion",
        _TEMPLATE,
        _HANDLERS,
        OURS,
        "only where a job's own template, or one of an older version, gives it no name",
    ),
    (
        "ec2:CreateTags",
        [_INSTANCE, _VOLUME, _INTERFACE, _SPOT],
        _HANDLERS,
        {**_BORN, **_BY_RUN},
    ),
    (
        "ec2:CreateTags",
        _TEMPLATE,
        _HANDLERS,
        {**_BORN, "ec2:CreateAction": "CreateLaunchTemplate"},
    ),
    ("ec2:CreateTags", _INSTANCE, _TAGS_LATER, {**_BORN, **OURS}),
    ("ec2:CreateTags", _INSTANCE, _TAGS_LATER, {**OURS, "aws:TagKeys": ["Name"]}),
    ("ec2:CreateSecurityGroup", _GROUP, _HANDLERS, _BORN),
    ("ec2:CreateSecurityGroup", f"{_EC2}:vpc/vpc-0", _IN_VPC),
    ("ec2:CreatePlacementGroup", _PLACEMENT, _HANDLERS, _BORN),
    ("ec2:DeletePlacementGroup", _PLACEMENT, _HANDLERS, OURS),
    ("ec2:CreateTags", _PLACEMENT, _HANDLERS, {**_BORN, **_BY_PLACEMENT}),
    (_GROUP_CALLS, _GROUP, _HANDLERS, OURS),
    ("ec2:CreateTags", _GROUP, _HANDLERS, {**_BORN, "ec2:CreateAction": "CreateSecurityGroup"}),
    (_ENCRYPTS, _KEYS, _VOLUMES, _BY_EC2, NO_KEY),
    ("kms:CreateGrant", _KEYS, _VOLUMES, _GRANT, NO_KEY),
    ("ec2:DeleteTags", _TEMPLATE, _HANDLERS, OURS),
    ("ec2:TerminateInstances", _INSTANCE, _HANDLERS, OURS),
    (
        [
            "scheduler:CreateSchedule",
            "scheduler:GetSchedule",
            "scheduler:UpdateSchedule",
            "scheduler:DeleteSchedule",
        ],
        f"{_SCHEDULE}/{{deployment}}/parris-digits-20261124-abcdef",
        _HANDLERS,
    ),
    (
        "iam:PassRole",
        f"{_ROLE}/{{deployment}}-scheduler-{{region}}",
        _HANDLERS,
        passed_to("scheduler"),
    ),
    (
        "iam:PassRole",
        [f"{_ROLE}/{{deployment}}-instance-{{region}}", f"{_ROLE}/another-machine"],
        _HANDLERS,
        passed_to("ec2"),
    ),
    (
        "iam:CreateServiceLinkedRole",
        f"{_ROLE}/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot",
        "EC2 user guide, 'Service-linked role for Spot Instance requests'",
        {"iam:AWSServiceName": "spot.amazonaws.com"},
    ),
]

REFUSALS: Rows = [
    ("ec2:DescribeSnapshots", "*", "what no template of a run names"),
    *(
        ("ec2:RunInstances", resource, why, {**kind, **born})
        for resource, kind in ((_INSTANCE, _TYPE), (_VOLUME, {}))
        for why, born in (("another's at birth", _BORN_ANOTHERS), ("nobody's at birth", {}))
    ),
    (
        "ec2:RunInstances",
        _INSTANCE,
        "a type that is not allowed",
        {**_BORN, "ec2:InstanceType": "p5.48xlarge"},
    ),
    ("ec2:RunInstances", _IMAGE, "an image of another", {"ec2:Owner": "999999999999"}),
    ("ec2:RunInstances", _PLACEMENT, "another's placement group", ANOTHERS),
    ("ec2:RunInstances", _PLACEMENT, "nobody's placement group", _BORN),
    ("ec2:RunInstances", f"{_EC2}:elastic-gpu/x", "what no job chooses", OURS),
    ("ec2:RunInstances", f"{_EC2}:elastic-gpu/x", "what no job chooses", _BORN),
    ("ec2:RunInstances", _TEMPLATE, "another's template", ANOTHERS),
    ("ec2:RunInstances", _TEMPLATE, "nobody's template"),
    ("ec2:CreateLaunchTemplate", _TEMPLATE, "another's at birth", _BORN_ANOTHERS),
    ("ec2:CreateLaunchTemplate", _TEMPLATE, "nobody's at birth"),
    ("ec2:CreateLaunchTemplate", _INSTANCE, "what is no launch template", _BORN),
    *(
        (
            ["ec2:CreateLaunchTemplateVersion", "ec2:DeleteLaunchTemplate", "ec2:DeleteTags"],
            _TEMPLATE,
            why,
            whose,
        )
        for why, whose in (("another's template", ANOTHERS), ("nobody's template", {}))
    ),
    (
        ["ec2:CreateLaunchTemplateVersion", "ec2:DeleteLaunchTemplate"],
        _INSTANCE,
        "what is no launch template",
        OURS,
    ),
    ("ec2:CreateSecurityGroup", _GROUP, "another's at birth", _BORN_ANOTHERS),
    ("ec2:CreateSecurityGroup", _GROUP, "nobody's at birth"),
    *(
        (_GROUP_CALLS, _GROUP, why, whose)
        for why, whose in (("another's group", ANOTHERS), ("nobody's group", {}))
    ),
    ("ec2:CreateSecurityGroup", _INSTANCE, "what is no group", _BORN),
    ("ec2:CreatePlacementGroup", _PLACEMENT, "another's at birth", _BORN_ANOTHERS),
    ("ec2:CreatePlacementGroup", _PLACEMENT, "nobody's at birth"),
    ("ec2:DeletePlacementGroup", _PLACEMENT, "another's placement group", ANOTHERS),
    ("ec2:DeletePlacementGroup", _PLACEMENT, "nobody's placement group"),
    ("ec2:CreateTags", _PLACEMENT, "a group that is there becomes ours", _BORN),
    (_GROUP_CALLS, _INSTANCE, "what is no group", OURS),
    ("ec2:AuthorizeSecurityGroupEgress", _GROUP, "what no run changes", OURS),
    ("ec2:CreateTags", _GROUP, "a group that is there becomes ours", _BORN),
    ("ec2:CreateTags", _INSTANCE, "what is there already becomes ours", _BORN),
    ("ec2:CreateTags", _INSTANCE, "another's becomes ours", {**_BORN, **ANOTHERS}),
    ("ec2:CreateTags", _INSTANCE, "ours is given away", {**_BORN_ANOTHERS, **OURS}),
    ("ec2:CreateTags", f"{_EC2}:vpc/vpc-0", "what is no machine", {**_BORN, **OURS}),
    (
        "ec2:CreateTags",
        _VOLUME,
        "a part of another call",
        {**_BORN, "ec2:CreateAction": "CreateVolume"},
    ),
    ("ec2:CreateTags", _INSTANCE, "without the deployment's tag", _BY_RUN),
    ("ec2:CreateTags", _INSTANCE, "another's tag", {**_BORN_ANOTHERS, **_BY_RUN}),
    ("ec2:CreateTags", f"{_EC2}:vpc/vpc-0", "what no run has", {**_BORN, **_BY_RUN}),
    ("ec2:DeleteTags", f"{_EC2}:vpc/vpc-0", "what no run has", OURS),
    ("ec2:TerminateInstances", _INSTANCE, "another's machine", ANOTHERS),
    ("ec2:TerminateInstances", _INSTANCE, "nobody's machine"),
    ("ec2:TerminateInstances", _VOLUME, "what is no machine", OURS),
    (_ENCRYPTS, ANOTHER_KEY, "another key", _BY_EC2),
    (
        _ENCRYPTS,
        KEY,
        "another service",
        {**_BY_EC2, "kms:ViaService": "s3.us-east-1.amazonaws.com"},
    ),
    (_ENCRYPTS, KEY, "another account", {**_BY_EC2, "kms:CallerAccount": ELSEWHERE}),
    ("kms:CreateGrant", ANOTHER_KEY, "another key", _GRANT),
    ("kms:CreateGrant", KEY, "a grant for somebody", {"kms:GrantIsForAWSResource": "false"}),
    (
        ["scheduler:CreateSchedule", "scheduler:DeleteSchedule"],
        [
            f"{_SCHEDULE}/another/parris-digits-20261124-abcdef",
            f"{_SCHEDULE}/{{deployment}}-2/parris-digits-20261124-abcdef",
            f"{_SCHEDULE}/default/{{deployment}}-20261124-abcdef",
        ],
        "a schedule of another group",
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
