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
    *("alive.json", "whole.json", "metrics.json", "machine.jsonl"),
)
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
        "s3:AbortMultipartUpload",
        f"{_OWN}/output/model.joblib",
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
]

REFUSALS: Rows = [
    *not_by_key("s3"),
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
