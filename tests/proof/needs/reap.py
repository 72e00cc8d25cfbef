"""The reap function: reads runs, deletes stacks, writes outcomes."""

from tests.proof.common import (
    ANOTHERS,
    LEDGER,
    OTHER_TABLES,
    OURS,
    STACK,
    by_key,
    in_vpc,
    not_by_key,
)
from tests.proof.table import Rows

_RUN = "{results}/runs/digits/20261124-abcdef"
_LOGS = "arn:aws:logs:{region}:{account}:log-group:"
_INSTANCE = "arn:aws:ec2:{region}:{account}:instance/i-0123456789abcdef0"
_FUNCTION = "arn:aws:lambda:{region}:{account}:function"

_MACHINE = f"{_RUN}/machines/AROAEXAMPLE:i-0123456789abcdef0"

_VPC_NEEDS, _VPC_REFUSALS = in_vpc("reap", sees=["ec2:DescribeNetworkInterfaces"])

NEEDS: Rows = [
    *by_key("s3", "sns", "dynamodb"),
    *_VPC_NEEDS,
    (
        ["cloudformation:DescribeStacks", "cloudformation:ListStacks"],
        "*",
        "stacks.list_stacks; API reference, DescribeStacks, StackName",
    ),
    ("cloudformation:DescribeStacks", STACK, "stacks.read_stack", ANOTHERS),
    (
        "cloudformation:DescribeStackEvents",
        STACK,
        "stacks.first_failure, stacks.last_failed_deletion, stacks.last_deletion",
    ),
    ("ec2:DescribeInstances", "*", "machines.list_machines, machines.read_machine"),
    (
        "ec2:DescribeSubnets",
        "*",
        "instances.offered_subnets; Lambda itself, for a function in a VPC",
    ),
    ("ec2:DescribeInstanceTypeOfferings", "*", "instances.offered_subnets"),
    ("cloudformation:DeleteStack", STACK, "stacks.delete_stack", OURS),
    ("ec2:GetConsoleOutput", _INSTANCE, "instances.read_console", OURS),
    ("s3:ListBucket", "{results}", "storage.list_folders; without it 403 stands for 404"),
    ("s3:GetObject", f"{_RUN}/run.json", "storage.read_receipt"),
    ("s3:GetObject", f"{_RUN}/outcome.json", "storage.read_outcome"),
    ("s3:GetObject", f"{_MACHINE}/outcome.json", "storage.read_machine_outcome"),
    ("s3:GetObject", f"{_MACHINE}/log.txt", "storage.read_log_end"),
    ("s3:GetObject", f"{_MACHINE}/metrics.json", "storage.read_progress"),
    ("s3:PutObject", f"{_RUN}/outcome.json", "storage.write_outcome"),
    (
        "s3:PutObject",
        f"{_RUN}/run.json",
        "storage.change_receipt",
        {},
        "a launch has to die before its run is complete",
    ),
    (["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"], LEDGER, "table"),
    ("dynamodb:Query", LEDGER, "queue.waiting"),
    ("dynamodb:Query", f"{LEDGER}/index/open", "ledger.open_runs"),
    (
        "dynamodb:DeleteItem",
        LEDGER,
        "queue.leave",
        {},
        "a launch that waited has to die after it has its stack",
    ),
    (
        ["logs:CreateLogStream", "logs:PutLogEvents"],
        f"{_LOGS}/aws/lambda/{{deployment}}-reap:log-stream:x",
        "Lambda itself",
        {},
        "Lambda of the embedded cloud logs without a call",
    ),
    (
        ["logs:CreateLogStream", "logs:PutLogEvents"],
        f"{_LOGS}/{{deployment}}/iot-errors:log-stream:launch",
        "launches._write_to_iot_log",
    ),
    ("sns:Publish", "arn:aws:sns:{region}:{account}:{deployment}-notifications", "notify"),
    ("lambda:InvokeFunction", f"{_FUNCTION}:{{deployment}}-launch", "launches.start"),
]

REFUSALS: Rows = [
    *not_by_key("s3", "sns", "dynamodb"),
    *_VPC_REFUSALS,
    ("cloudformation:DeleteStack", STACK, "another's stack", ANOTHERS),
    ("cloudformation:DeleteStack", STACK, "nobody's stack"),
    ("ec2:GetConsoleOutput", _INSTANCE, "another's machine", ANOTHERS),
    ("ec2:GetConsoleOutput", _INSTANCE, "nobody's machine"),
    (
        "ec2:GetConsoleOutput",
        "arn:aws:ec2:{region}:{account}:volume/vol-0",
        "what is no machine",
        OURS,
    ),
    ("s3:ListBucket", "{config}", "jobs are not its to read"),
    ("s3:GetObject", [f"{_RUN}/output/model", f"{_MACHINE}/output/model"], "what a run made"),
    ("s3:GetObject", "arn:aws:s3:::another/secret", "another's bucket"),
    ("s3:PutObject", "{results}/events/x.json", "what is remembered is in the ledger"),
    (["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"], OTHER_TABLES, "another's"),
    (["dynamodb:GetItem", "dynamodb:Query"], OTHER_TABLES, "another's"),
    ("dynamodb:Query", f"{OTHER_TABLES[1]}/index/open", "another's"),
    ("dynamodb:DeleteTable", LEDGER, "the ledger stays"),
    ("s3:PutObject", [f"{_RUN}/output/model", f"{_MACHINE}/log.txt"], "what a machine says"),
    ("s3:DeleteObject", f"{_RUN}/outcome.json", "an outcome stays"),
    (
        "logs:GetLogEvents",
        [
            f"{_LOGS}/aws/lambda/{{deployment}}-launch:log-stream:x",
            f"{_LOGS}/{{deployment}}/training:log-stream:digits/20261124-abcdef",
        ],
        "a log; a run's it reads in S3",
    ),
    (
        ["logs:CreateLogStream", "logs:PutLogEvents"],
        f"{_LOGS}/{{deployment}}/training:log-stream:digits/20261124-abcdef",
        "the machines' log",
    ),
    ("sns:Publish", "arn:aws:sns:{region}:{account}:another", "another's topic"),
    ("lambda:InvokeFunction", f"{_FUNCTION}:another", "another's function"),
]
