"""The launch function: reads jobs, writes receipts, asks CloudFormation for stacks."""

from tests.proof.common import (
    ANOTHERS,
    LEDGER,
    OF_ANOTHER_TYPE,
    OF_OUR_TYPES,
    OTHER_TABLES,
    OURS,
    TAGGED_AS_OURS,
    by_key,
    in_vpc,
    not_by_key,
    passed_to,
)
from tests.proof.common import STACK as STACK_ARN
from tests.proof.table import Rows

_RUN = "{results}/runs/digits/20261124-abcdef"
_SCHEDULE = "arn:aws:scheduler:{region}:{account}:schedule"
_LOGS = "arn:aws:logs:{region}:{account}:log-group:/aws/lambda"
_ROLE = "arn:aws:iam::{account}:role"
_FUNCTION = "arn:aws:lambda:{region}:{account}:function"

_VPC_NEEDS, _VPC_REFUSALS = in_vpc("launch", sees=["ec2:DescribeNetworkInterfaces"])

NEEDS: Rows = [
    *by_key("s3", "sns", "dynamodb"),
    *_VPC_NEEDS,
    (
        "s3:GetObject",
        ["{config}/training-config.json", "{config}/jobs/digits/trainer-script.sh"],
        "storage.read_job_file, storage.snapshot",
    ),
    (
        "s3:ListBucket",
        ["{config}", "{results}"],
        "storage.list_job_files, storage.list_source, storage.has_any",
    ),
    ("s3:PutObject", f"{_RUN}/run.json", "storage.claim, storage.replace"),
    ("s3:PutObject", f"{_RUN}/agent.pyz", "storage.copy_agent"),
    ("s3:GetObjectVersion", "{results}/agent.pyz", "storage.copy_agent"),
    ("s3:PutObject", f"{_RUN}/source/trainer-script.sh", "storage.snapshot"),
    ("s3:GetObject", f"{_RUN}/run.json", "storage.read_receipt"),
    (
        "s3:GetObject",
        f"{_RUN}/source/training-config.json",
        "storage.read_source, storage.copy_source",
    ),
    ("ec2:DescribeImages", "*", "prices.has_image"),
    ("ec2:DescribeInstanceTypes", "*", "prepare.read_network: of a run of several machines"),
    ("s3:GetObject", f"{_RUN}/outcome.json", "storage.read_outcome, storage.has_begun"),
    (
        "s3:GetObject",
        "{results}/events/data/fresh/0123456789abcdef/x.json",
        "windows.end: objects.read",
        {},
        "a window has to be open while a version without a ledger is replaced",
    ),
    (["dynamodb:GetItem", "dynamodb:Query"], LEDGER, "arrivals"),
    ("dynamodb:Query", f"{LEDGER}/index/kind", "clicks: ledger.newest; room: a month begins"),
    ("dynamodb:PutItem", LEDGER, "table.put_new"),
    ("dynamodb:UpdateItem", LEDGER, "table.change"),
    ("dynamodb:DeleteItem", LEDGER, "table.delete: a launch that waited has its stack"),
    (
        "ssm:GetParameter",
        "arn:aws:ssm:{region}::parameter/aws/service/ami-amazon-linux-latest/al2023",
        "market.resolve_image",
    ),
    (
        "cloudformation:CreateStack",
        STACK_ARN,
        "stacks.start_stack",
        {**TAGGED_AS_OURS, **OF_OUR_TYPES},
    ),
    (
        "cloudformation:TagResource",
        STACK_ARN,
        "CloudFormation user guide, 'Control access with IAM': tags at creation",
        TAGGED_AS_OURS,
        "the embedded cloud asks for CreateStack alone",
    ),
    ("cloudformation:UpdateStack", STACK_ARN, "stacks.start_stack", {**OURS, **OF_OUR_TYPES}),
    (
        ["cloudformation:DescribeStacks", "cloudformation:ListStacks"],
        "*",
        "stacks.list_stacks; API reference, DescribeStacks, StackName",
    ),
    ("cloudformation:DescribeStacks", STACK_ARN, "stacks.read_stack", ANOTHERS),
    ("pricing:GetProducts", "*", "market._list_prices"),
    ("ec2:DescribeSpotPriceHistory", "*", "market._spot_hourly"),
    (
        "ec2:DescribeSubnets",
        "*",
        "market._address_hourly; Lambda itself, for a function in a VPC",
        {},
        "no job of e2e names a subnet and a budget",
    ),
    (
        "iam:PassRole",
        f"{_ROLE}/{{deployment}}-stack-{{region}}",
        "CreateStack's RoleARN",
        passed_to("cloudformation"),
    ),
    (
        "iam:PassRole",
        f"{_ROLE}/{{deployment}}-scheduler-{{region}}",
        "CreateSchedule's target",
        passed_to("scheduler"),
    ),
    (
        "scheduler:CreateSchedule",
        f"{_SCHEDULE}/{{deployment}}/{{deployment}}-data-abc",
        "settle._end_later",
    ),
    ("sns:Publish", "arn:aws:sns:{region}:{account}:{deployment}-notifications", "notify"),
    (
        "lambda:InvokeFunction",
        f"{_FUNCTION}:{{deployment}}-reap",
        "relaunch._ask_to_end; Lambda itself, for the destination of what failed",
    ),
    (
        ["logs:CreateLogStream", "logs:PutLogEvents"],
        f"{_LOGS}/{{deployment}}-launch:log-stream:x",
        "Lambda itself",
        {},
        "Lambda of the embedded cloud logs without a call",
    ),
]

REFUSALS: Rows = [
    *not_by_key("s3", "sns", "dynamodb"),
    *_VPC_REFUSALS,
    ("s3:GetObject", "arn:aws:s3:::another/jobs/secret", "another's bucket"),
    ("s3:GetObject", f"{_RUN}/output/model.joblib", "what a run made is not a launch's to read"),
    (
        "s3:GetObjectVersion",
        [f"{_RUN}/run.json", "{config}/x"],
        "an older version of what it reads",
    ),
    ("s3:ListBucket", "arn:aws:s3:::another", "another's bucket"),
    ("s3:PutObject", f"{_RUN}/outcome.json", "how a run ended is not a launch's to say"),
    ("s3:PutObject", "{config}/training-config.json", "jobs are people's"),
    ("s3:DeleteObject", f"{_RUN}/run.json", "a receipt stays"),
    ("s3:DeleteObject", "{results}/events/data/fresh/open.json", "an arrival stays"),
    ("s3:PutObject", "{results}/events/queue/x.json", "what waits is in the ledger"),
    (["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"], OTHER_TABLES, "another's"),
    (["dynamodb:GetItem", "dynamodb:Query"], OTHER_TABLES, "another's"),
    ("dynamodb:Query", f"{LEDGER}/index/open", "sweeps are the reap function's"),
    (["dynamodb:Scan", "dynamodb:DeleteTable"], LEDGER, "no launch does that"),
    ("s3:PutObject", "{results}/events/data/fresh/x.json", "arrivals are in the ledger"),
    ("cloudformation:DeleteStack", STACK_ARN, "a launch ends no run", OURS),
    ("ssm:GetParameter", "arn:aws:ssm:{region}:{account}:parameter/secret", "a secret"),
    *(
        (action, STACK_ARN, why, {**whose, **types})
        for action, types in (
            ("cloudformation:CreateStack", OF_OUR_TYPES),
            ("cloudformation:TagResource", {}),
        )
        for why, whose in (
            ("a stack of another deployment", {"aws:RequestTag/parris:deployment": "another"}),
            ("a stack of nobody", {}),
        )
    ),
    *(
        (action, STACK_ARN, why, {**whose, **types})
        for action, types in (("cloudformation:UpdateStack", OF_OUR_TYPES),)
        for why, whose in (("another's stack", ANOTHERS), ("nobody's stack", {}))
    ),
    *(
        (action, STACK_ARN, why, {**whose, **types})
        for action, whose in (
            ("cloudformation:CreateStack", TAGGED_AS_OURS),
            ("cloudformation:UpdateStack", OURS),
        )
        for why, types in (
            ("a template of any type", {}),
            ("a template of another type", OF_ANOTHER_TYPE),
        )
    ),
    ("iam:PassRole", f"{_ROLE}/admin", "another role", passed_to("cloudformation")),
    ("iam:PassRole", f"{_ROLE}/admin", "another role", passed_to("scheduler")),
    (
        "iam:PassRole",
        f"{_ROLE}/{{deployment}}-stack-{{region}}",
        "another service",
        passed_to("ec2"),
    ),
    (
        "iam:PassRole",
        f"{_ROLE}/{{deployment}}-scheduler-{{region}}",
        "another service",
        passed_to("ec2"),
    ),
    (
        "scheduler:CreateSchedule",
        [
            f"{_SCHEDULE}/another/{{deployment}}-data-abc",
            f"{_SCHEDULE}/{{deployment}}-2/{{deployment}}-data-abc",
        ],
        "another's schedule group",
    ),
    (
        "scheduler:CreateSchedule",
        f"{_SCHEDULE}/{{deployment}}/{{deployment}}-run",
        "the end of a run",
    ),
    ("sns:Publish", "arn:aws:sns:{region}:{account}:another", "another's topic"),
    ("lambda:InvokeFunction", f"{_FUNCTION}:another", "another's function"),
    (
        ["logs:CreateLogStream", "logs:PutLogEvents"],
        f"{_LOGS}/{{deployment}}-reap:log-stream:x",
        "another function's log",
    ),
]
