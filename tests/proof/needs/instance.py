"""A training machine: reads its run, writes its results into a folder of its own."""

from tests.proof.common import LEDGER, by_key, not_by_key
from tests.proof.table import Rows

_RUN = "{results}/runs/digits/20261124-120000-abcdef01"
_STREAM = "arn:aws:logs:{region}:{account}:log-group:/{deployment}/training"
_HERS = {"aws:userid": "AROAEXAMPLE:i-0123456789abcdef0"}
_OWN = f"{_RUN}/machines/AROAEXAMPLE:i-0123456789abcdef0"
_OTHERS = "{results}/runs/other/20261124-120000-fedcba01/machines/AROAEXAMPLE:i-0fedcba9876543210"
_OLD = "{results}/runs/digits/r-0123456789abcdef"
_STORED = (
    *("output/model.joblib", "checkpoints/1", "log.txt", "outcome.json"),
    *("alive.json", "whole.json", "packages.txt", "metrics.json", "machine.jsonl", "setup.json"),
)
_SSM = "arn:aws:ssm:{region}:{account}:parameter"
_SECRET = "arn:aws:secretsmanager:{region}:{account}:secret"
_KEY = "arn:aws:kms:{region}:{account}:key/of-secrets"
_PICTURES = "arn:aws:s3:::pictures"
_SETUPS = "{results}/setups"
_DIGEST = "0123456789abcdef" * 4
_VERBS = ("Create", "Open")
_OPTION = "an option, which the recorded deployments do not have"
_INSIDE = "machines/AROAEXAMPLE:i-0123456789abcdef0"

NEEDS: Rows = [
    *by_key("s3"),
    (
        "s3:ListBucket",
        "{results}",
        "aws s3 cp --recursive",
        {**_HERS, "s3:prefix": "runs/digits/20261124-120000-abcdef01/source/"},
    ),
    (
        "s3:ListBucket",
        "{results}",
        "whole.py; aws s3 sync, with which agents of earlier versions store",
        {**_HERS, "s3:prefix": f"{_OWN.removeprefix('{results}/')}/checkpoints/"},
    ),
    (
        "s3:GetObject",
        [f"{_RUN}/run.json", f"{_RUN}/agent.pyz", f"{_RUN}/source/trainer-script.sh"],
        "user-data.sh, agent.pyz",
        _HERS,
    ),
    (
        "s3:GetObject",
        [
            *(f"{_OTHERS}/{name}" for name in _STORED),
            f"{_OLD}/run.json",
            f"{_OLD}/agent.py",
            f"{_OLD}/source/x",
            f"{_OLD}/checkpoints/1",
            f"{_RUN}/checkpoints/1",
            f"{_OLD}/{_INSIDE}/checkpoints/1",
        ],
        "restore.py: a run may go on from another's checkpoints, and from what an earlier machine "
        "of its own stored; ids of older versions",
        _HERS,
    ),
    (
        "s3:ListBucket",
        "{results}",
        "restore.py: aws s3 sync",
        {**_HERS, "s3:prefix": f"{_OTHERS.removeprefix('{results}/')}/"},
    ),
    (
        "s3:ListBucket",
        "{results}",
        "restore.py: aws s3 sync, of a run of older versions",
        {**_HERS, "s3:prefix": f"{_OLD.removeprefix('{results}/')}/checkpoints/"},
        "a run of a version without machines' folders has to be there",
    ),
    (
        "s3:ListBucketVersions",
        "{results}",
        "whole.py",
        {**_HERS, "s3:prefix": f"{_OTHERS.removeprefix('{results}/')}/checkpoints/"},
    ),
    (
        "s3:GetObjectVersion",
        [f"{_OTHERS}/checkpoints/1", f"{_OLD}/{_INSIDE}/checkpoints/1"],
        "whole.py",
        _HERS,
        "a machine has to vanish while it stores a checkpoint",
    ),
    (
        "s3:PutObject",
        [f"{_OWN}/{name}" for name in _STORED],
        "agent.pyz; outcome.json also user-data.sh",
        _HERS,
    ),
    (
        "s3:GetObject",
        f"{_SETUPS}/AROAEXAMPLE:i-0fedcba9876543210/{_DIGEST}.tar.zst",
        "setup.py: what the job's setup script has left on another machine",
        _HERS,
    ),
    (
        "s3:PutObject",
        f"{_SETUPS}/AROAEXAMPLE:i-0123456789abcdef0/{_DIGEST}.tar.zst",
        "setup.py",
        _HERS,
    ),
    (
        "s3:AbortMultipartUpload",
        [
            f"{_OWN}/output/model.joblib",
            f"{_SETUPS}/AROAEXAMPLE:i-0123456789abcdef0/{_DIGEST}.tar.zst",
        ],
        "aws s3 cp of a large file that fails midway (S3 user guide, 'Multipart upload API and "
        "permissions')",
        _HERS,
        "an upload has to fail midway",
    ),
    (
        ["logs:CreateLogStream", "logs:PutLogEvents"],
        f"{_STREAM}:log-stream:digits/20261124-120000-abcdef01",
        "agent.pyz",
        _HERS,
    ),
    ("ssm:GetParameter", f"{_SSM}/team/wandb", "inputs.py: secrets", _HERS, _OPTION),
    (
        "secretsmanager:GetSecretValue",
        f"{_SECRET}:team/db-AbCdEf",
        "inputs.py: secrets",
        _HERS,
        _OPTION,
    ),
    *(
        (
            "kms:Decrypt",
            _KEY,
            "a secret under a key of one's own (Secrets Manager user guide, 'Secret encryption and "
            "decryption'; Systems Manager user guide, 'KMS encryption for SecureString')",
            {**_HERS, "kms:ViaService": f"{service}.us-east-1.amazonaws.com"},
            _OPTION,
        )
        for service in ("ssm", "secretsmanager")
    ),
    (
        "s3:GetObject",
        [f"{_PICTURES}/train/deep/a.png", f"{_PICTURES}/test.csv"],
        "inputs.py: data",
        _HERS,
        _OPTION,
    ),
    (
        "s3:ListBucket",
        _PICTURES,
        "inputs.py: aws s3 sync",
        {**_HERS, "s3:prefix": "train/"},
        _OPTION,
    ),
    (
        [
            "ssm:UpdateInstanceInformation",
            *(
                f"ssmmessages:{verb}{what}Channel"
                for verb in _VERBS
                for what in ("Control", "Data")
            ),
        ],
        "*",
        "the SSM agent: make shell (Systems Manager user guide, 'Add Session Manager permissions "
        "to an existing IAM role')",
        _HERS,
        "the embedded cloud's machines have no SSM agent",
    ),
]

REFUSALS: Rows = [
    *not_by_key("s3"),
    ("ssm:GetParameter", f"{_SSM}/other/wandb", "another team's", _HERS),
    ("secretsmanager:GetSecretValue", f"{_SECRET}:other/db-AbCdEf", "another team's", _HERS),
    (
        "kms:Decrypt",
        _KEY,
        "what else is under the key",
        {**_HERS, "kms:ViaService": "s3.us-east-1.amazonaws.com"},
    ),
    ("kms:Decrypt", _KEY, "the key itself", _HERS),
    (
        "kms:Decrypt",
        "arn:aws:kms:{region}:{account}:key/another",
        "another key",
        {**_HERS, "kms:ViaService": "ssm.us-east-1.amazonaws.com"},
    ),
    ("s3:ListBucket", "arn:aws:s3:::another", "other data", {**_HERS, "s3:prefix": "train/"}),
    ("s3:GetObject", f"{_PICTURES}/private/a.png", "other data", _HERS),
    ("s3:PutObject", f"{_PICTURES}/train/a.png", "data are read, not written", _HERS),
    ("s3:ListBucket", _PICTURES, "all of a bucket", {**_HERS, "s3:prefix": ""}),
    (
        ["dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:UpdateItem"],
        LEDGER,
        "the ledger",
        _HERS,
    ),
    ("s3:ListBucket", "{results}", "what is remembered", {**_HERS, "s3:prefix": "events/"}),
    ("s3:ListBucket", "{results}", "the whole bucket", _HERS),
    ("s3:ListBucket", "{results}", "all runs", {**_HERS, "s3:prefix": "runs/"}),
    (
        "s3:ListBucket",
        "{config}",
        "the jobs",
        {**_HERS, "s3:prefix": "runs/digits/20261124-120000-abcdef01/source/"},
    ),
    (
        "s3:GetObject",
        [
            "{results}/events/queue/parris-digits.json",
            "{config}/training-config.json",
            f"{_RUN}/outcome.json",
        ],
        "what is not a run's, what a run ended with",
        _HERS,
    ),
    ("s3:ListBucketVersions", "{results}", "the whole bucket", _HERS),
    (
        "s3:ListBucketVersions",
        "{results}",
        "of receipts, and of what is not a checkpoint",
        {**_HERS, "s3:prefix": f"{_OTHERS.removeprefix('{results}/')}/"},
    ),
    (
        "s3:ListBucketVersions",
        "{config}",
        "the jobs",
        {**_HERS, "s3:prefix": f"{_OTHERS.removeprefix('{results}/')}/checkpoints/"},
    ),
    (
        "s3:GetObjectVersion",
        [
            "{results}/agent.pyz",
            "{config}/training-config.json",
            f"{_RUN}/run.json",
            f"{_RUN}/outcome.json",
            f"{_OTHERS}/log.txt",
            f"{_OTHERS}/output/model.joblib",
        ],
        "versions of what is not a machine's checkpoint",
        _HERS,
    ),
    (
        ["s3:PutObject", "s3:AbortMultipartUpload"],
        [
            f"{folder}/{name}"
            for folder in (_RUN, _OTHERS, f"{_OTHERS}/output/{_INSIDE}", f"{_RUN}/source/{_INSIDE}")
            for name in _STORED
        ],
        "what is not in the machine's own folder, right below a run",
        _HERS,
    ),
    (
        ["s3:PutObject", "s3:AbortMultipartUpload"],
        [
            f"{_OWN}/run.json",
            f"{_RUN}/run.json",
            f"{_RUN}/agent.pyz",
            f"{_RUN}/source/trainer-script.sh",
            "{results}/events/queue/parris-digits.json",
            "{config}/training-config.json",
        ],
        "what launches and functions write",
        _HERS,
    ),
    (
        "s3:PutObject",
        f"{_OWN}/output/model.joblib",
        "the folder of a machine, asked for by another",
        {"aws:userid": "AROAEXAMPLE:i-0fedcba9876543210"},
    ),
    (
        ["s3:PutObject", "s3:AbortMultipartUpload"],
        [
            f"{_SETUPS}/AROAEXAMPLE:i-0fedcba9876543210/{_DIGEST}.tar.zst",
            f"{_SETUPS}/{_DIGEST}.tar.zst",
            f"{_RUN}/setups/AROAEXAMPLE:i-0123456789abcdef0/{_DIGEST}.tar.zst",
            "{config}/setups/AROAEXAMPLE:i-0123456789abcdef0/x",
        ],
        "what another machine's setup has left, which its job's later runs execute",
        _HERS,
    ),
    ("s3:ListBucket", "{results}", "all setups", {**_HERS, "s3:prefix": "setups/"}),
    (
        "s3:ListBucket",
        "{results}",
        "the machines of a run",
        {**_HERS, "s3:prefix": f"{_RUN.removeprefix('{results}/')}/machines/"},
    ),
    (
        ["logs:CreateLogStream", "logs:PutLogEvents"],
        "arn:aws:logs:{region}:{account}:log-group:/aws/lambda/{deployment}-reap:log-stream:x",
        "a function's log",
        _HERS,
    ),
]
