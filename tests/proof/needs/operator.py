"""A person, for every make target but deploy and destroy: ``terraform output operator_policy``."""

from tests.proof.common import ANOTHERS, LEDGER, OTHER_TABLES, OURS, STACK, by_key, not_by_key
from tests.proof.table import Rows

_RUN = "{results}/runs/digits/20261124-abcdef"
_REPORT = "{results}/reports/digits-20261124-193233-ee09f120.html"
_FUNCTION = "arn:aws:lambda:{region}:{account}:function"
_TOPIC = "arn:aws:iot:{region}:{account}:topic"
_RULE = "arn:aws:events:{region}:{account}:rule"
_ROLE = "arn:aws:iam::{account}:role"
_STREAM = "log-stream:digits/20261124-abcdef"
_SHELL = "on the embedded cloud a shell opens in the machine's own folder"
_LOCAL = "LOCAL=1 has no endpoint of its own for messages"

_MACHINE = f"{_RUN}/machines/AROAEXAMPLE:i-0123456789abcdef0"

NEEDS: Rows = [
    *by_key("s3", "dynamodb"),
    (
        "s3:ListBucket",
        ["{config}", "{results}"],
        "uploads._list, results.fetch, runs.find_folder",
    ),
    (["s3:PutObject", "s3:DeleteObject"], "{config}/jobs/digits/x", "uploads.apply"),
    (
        "s3:GetObject",
        "{config}/jobs/digits/training-config.json",
        "planning: make plan; uploads._is_news",
    ),
    (
        "s3:GetObject",
        [
            f"{_RUN}/run.json",
            f"{_RUN}/outcome.json",
            f"{_MACHINE}/log.txt",
            f"{_MACHINE}/output/model",
            f"{_RUN}/source/training-config.json",
        ],
        "runs.read_runs, follow.print_log, results.fetch, best_trial.ways_to_repeat",
    ),
    (
        "dynamodb:Query",
        f"{LEDGER}/index/kind",
        "newest.read_newest, runs.find_run, month.read_bills",
    ),
    ("dynamodb:Query", f"{LEDGER}/index/open", "newest.read_newest: make status STATE=running"),
    (
        "dynamodb:Query",
        LEDGER,
        "fired.Listener: make fire says why nothing was launched",
        {"dynamodb:LeadingKeys": ["told"]},
    ),
    (
        "dynamodb:Query",
        LEDGER,
        "newest.read_newest: make status JOB=digits",
        {"dynamodb:LeadingKeys": ["run#digits"]},
    ),
    (
        "dynamodb:GetItem",
        LEDGER,
        "newest.read_newest: whether older runs were taken in",
        {"dynamodb:LeadingKeys": ["adopted"]},
    ),
    (
        "dynamodb:GetItem",
        LEDGER,
        "grids.read_again: make grid WAIT=1 and make stop GRID=… WAIT=1 follow a grid",
        {"dynamodb:LeadingKeys": ["grid#digits"]},
    ),
    *(
        (
            action,
            LEDGER,
            f"planning.obstacles: make plan sees {what}",
            {"dynamodb:LeadingKeys": [key]},
        )
        for action, key, what in (
            ("dynamodb:GetItem", "slots", "who counts"),
            ("dynamodb:Query", "queue", "who waits"),
        )
    ),
    ("s3:PutObject", f"{_RUN}/run.json", "runs.change_receipt: make stop, make extend"),
    (
        ["s3:PutObject", "s3:GetObject"],
        _REPORT,
        "publish.publish: make report PUBLISH=1, and its link",
    ),
    ("lambda:InvokeFunction", f"{_FUNCTION}:{{deployment}}-launch", "launch.invoke, fire"),
    (
        ["cloudformation:DescribeStacks", "cloudformation:ListStacks"],
        "*",
        "runs.list_stacks; API reference, DescribeStacks, StackName",
    ),
    ("cloudformation:DescribeStacks", STACK, "extend._move_stack's waiter"),
    (
        "cloudformation:DescribeStackEvents",
        STACK,
        "runs._deleted, stacks.first_failure",
        {},
        "a run has to end without a record while somebody looks",
    ),
    ("ec2:DescribeInstances", "*", "runs._machine_state, runs.find_machine"),
    (
        [
            *("ec2:DescribeInstanceTypes", "ec2:DescribeSubnets"),
            *("ec2:DescribeSecurityGroups", "ec2:DescribeKeyPairs"),
        ],
        "*",
        "account_check._questions",
    ),
    (
        ["ec2:DescribeInstanceTypeOfferings", "ec2:DescribeImages", "ec2:DescribeSpotPriceHistory"],
        "*",
        "planning: make plan",
    ),
    (
        "ssm:GetParameter",
        "arn:aws:ssm:{region}::parameter/aws/service/ami-amazon-linux-latest/al2023",
        "planning: make plan, by prepare.resolve_image",
    ),
    ("pricing:GetProducts", "*", "planning: make plan, by prepare.read_price"),
    (
        ["servicequotas:GetServiceQuota", "servicequotas:GetAWSDefaultServiceQuota"],
        "*",
        "planning.quotas: make plan",
    ),
    (
        "iam:SimulatePrincipalPolicy",
        [f"{_ROLE}/{{deployment}}-{role}-{{region}}" for role in ("launch", "stack", "instance")],
        "planning.rights: make plan",
    ),
    ("cloudformation:UpdateStack", STACK, "extend._move_stack", OURS),
    ("cloudformation:DeleteStack", STACK, "clean_stacks.delete", OURS),
    (
        "ssm:StartSession",
        "arn:aws:ec2:{region}:{account}:instance/i-0123456789abcdef0",
        "shell.main",
        {"ssm:resourceTag/parris:deployment": "{deployment}"},
        _SHELL,
    ),
    (
        "ssm:StartSession",
        "arn:aws:ssm:{region}:{account}:document/SSM-SessionManagerRunShell",
        "shell.main",
        {},
        _SHELL,
    ),
    (
        ["ssm:TerminateSession", "ssm:ResumeSession"],
        "arn:aws:ssm:{region}:{account}:session/AIDAEXAMPLE-0123456789abcdef0",
        "shell.main: the Session Manager plugin",
        {"aws:userid": "AIDAEXAMPLE"},
        _SHELL,
    ),
    ("ssmmessages:OpenDataChannel", "*", "shell.main: the Session Manager plugin", {}, _SHELL),
    (
        "logs:GetLogEvents",
        f"arn:aws:logs:{{region}}:{{account}}:log-group:/{{deployment}}/training:{_STREAM}",
        "follow.LogTail",
    ),
    (
        "iot:Publish",
        [f"{_TOPIC}/{{deployment}}/button/G030", f"{_TOPIC}/{{deployment}}/launch/digits"],
        "fire._publish",
    ),
    ("iot:DescribeEndpoint", "*", "fire._publish", {}, _LOCAL),
    (
        "events:ListTargetsByRule",
        f"{_RULE}/{{deployment}}-nightly",
        "fire.fire_schedule",
    ),
    (
        ["s3:GetBucketNotification", "s3:ListBucket"],
        "arn:aws:s3:::arrivals",
        "fire.fire_data; without the listing 403 stands for 404",
    ),
    (["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::arrivals/in/x", "fire.fire_data"),
]

REFUSALS: Rows = [
    *not_by_key("s3", "dynamodb"),
    (
        "ssm:StartSession",
        "arn:aws:ec2:{region}:{account}:instance/i-0fedcba9876543210",
        "another's machine",
        {"ssm:resourceTag/parris:deployment": "another"},
    ),
    (
        "ssm:StartSession",
        "arn:aws:ssm:{region}:{account}:managed-instance/mi-0123456789abcdef0",
        "a machine of one's own house",
        {"ssm:resourceTag/parris:deployment": "{deployment}"},
    ),
    (
        "ssm:StartSession",
        "arn:aws:ssm:{region}:{account}:document/AWS-StartPortForwardingSession",
        "a way into what a machine listens on",
    ),
    (
        ["ssm:TerminateSession", "ssm:ResumeSession"],
        "arn:aws:ssm:{region}:{account}:session/AIDAANOTHER-0123456789abcdef0",
        "another's session",
        {"aws:userid": "AIDAEXAMPLE"},
    ),
    ("s3:ListBucket", "arn:aws:s3:::another", "another's bucket"),
    ("s3:GetBucketNotification", "arn:aws:s3:::another", "another's bucket"),
    (
        "s3:GetObject",
        [
            "{results}/events/data/fresh/open.json",
            "{results}/events/digits/20261124-abcdef/launch-failed.json",
        ],
        "what the functions remember",
    ),
    ("dynamodb:Query", OTHER_TABLES, "another's"),
    ("dynamodb:Query", LEDGER, "what came", {"dynamodb:LeadingKeys": ["windows#fresh/0"]}),
    ("dynamodb:GetItem", LEDGER, "what came", {"dynamodb:LeadingKeys": ["arrival#fresh"]}),
    ("ssm:GetParameter", "arn:aws:ssm:{region}:{account}:parameter/secret", "a secret"),
    (
        "iam:SimulatePrincipalPolicy",
        [f"{_ROLE}/admin", f"{_ROLE}/{{deployment}}-reap-{{region}}"],
        "what others may",
    ),
    (["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"], LEDGER, "only functions"),
    ("s3:GetObject", "arn:aws:s3:::arrivals/out/x", "what no trigger looks at"),
    ("s3:PutObject", f"{_RUN}/outcome.json", "how a run ended"),
    ("s3:PutObject", "arn:aws:s3:::arrivals/out/x", "what no trigger looks at"),
    ("s3:DeleteObject", [f"{_RUN}/run.json", _REPORT], "a run's objects stay, and reports"),
    ("lambda:InvokeFunction", f"{_FUNCTION}:{{deployment}}-reap", "another function"),
    (["cloudformation:UpdateStack", "cloudformation:DeleteStack"], STACK, "another's", ANOTHERS),
    (["cloudformation:UpdateStack", "cloudformation:DeleteStack"], STACK, "nobody's stack"),
    (
        "logs:GetLogEvents",
        "arn:aws:logs:{region}:{account}:log-group:/aws/lambda/{deployment}-launch:log-stream:x",
        "a function's log",
    ),
    (
        "iot:Publish",
        [f"{_TOPIC}/another/button/x", f"{_TOPIC}/another/launch/x"],
        "another's topic",
    ),
    (
        "events:ListTargetsByRule",
        [
            f"{_RULE}/another",
            f"{_RULE}/{{deployment}}-2-nightly",
            f"{_RULE}/{{deployment}}-2_nightly",
        ],
        "another's rule",
    ),
    ("events:ListTargetsByRule", f"{_RULE}/{{deployment}}-reap-sweep", "what is no schedule's"),
]
