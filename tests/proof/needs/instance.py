"""A training machine: reads its run, writes its results into a folder of its own."""

from tests.proof.common import by_key, not_by_key
from tests.proof.table import Rows

_RUN = "{results}/runs/digits/20261124-abcdef"
_ID = "AROAEXAMPLE:i-0123456789abcdef0"
_OWN = f"{_RUN}/machines/{_ID}"
_ANOTHERS = f"{_RUN}/machines/AROAEXAMPLE:i-0aaaaaaaaaaaaaaaa"
_STREAM = "arn:aws:logs:{region}:{account}:log-group:/{deployment}/training"
_HERS = {"aws:userid": _ID}
_STORED = ["output/model.joblib", "checkpoints/1", "log.txt", "outcome.json"]

NEEDS: Rows = [
    *by_key("s3"),
    (
        "s3:ListBucket",
        "{results}",
        "user-data.sh, aws s3 cp --recursive",
        {**_HERS, "s3:prefix": "runs/digits/20261124-abcdef/source/"},
    ),
    (
        "s3:ListBucket",
        "{results}",
        "agent.py, aws s3 sync",
        {**_HERS, "s3:prefix": f"runs/digits/20261124-abcdef/machines/{_ID}/output/"},
    ),
    (
        "s3:GetObject",
        [f"{_RUN}/run.json", f"{_RUN}/agent.py", f"{_RUN}/source/trainer-script.sh"],
        "user-data.sh, agent.py",
        _HERS,
    ),
    (
        "s3:PutObject",
        [f"{_OWN}/{name}" for name in _STORED],
        "agent.py; outcome.json also user-data.sh",
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
        f"{_STREAM}:log-stream:digits/20261124-abcdef",
        "agent.py",
        _HERS,
    ),
]

REFUSALS: Rows = [
    *not_by_key("s3"),
    ("s3:ListBucket", "{results}", "what is remembered", {**_HERS, "s3:prefix": "events/"}),
    ("s3:ListBucket", "{results}", "the whole bucket", _HERS),
    (
        "s3:ListBucket",
        "{results}",
        "another machine's folder",
        {**_HERS, "s3:prefix": "runs/digits/20261124-abcdef/machines/AROAEXAMPLE:i-0aaa/output/"},
    ),
    (
        "s3:ListBucket",
        "{config}",
        "the jobs",
        {**_HERS, "s3:prefix": "runs/digits/20261124-abcdef/source/"},
    ),
    (
        "s3:GetObject",
        [
            f"{_RUN}/outcome.json",
            f"{_ANOTHERS}/output/model.joblib",
            f"{_OWN}/output/model.joblib",
            "{results}/events/queue/parris-digits.json",
            "{config}/training-config.json",
        ],
        "what no run starts from",
        _HERS,
    ),
    (
        ["s3:PutObject", "s3:AbortMultipartUpload"],
        [
            *(f"{_ANOTHERS}/{name}" for name in _STORED),
            *(f"{_RUN}/{name}" for name in _STORED),
            f"{_OWN}/run.json",
            f"{_RUN}/run.json",
            f"{_RUN}/agent.py",
            f"{_RUN}/source/trainer-script.sh",
            "{results}/runs/x/output/run.json",
            "{results}/events/queue/parris-digits.json",
            "{config}/training-config.json",
        ],
        "what launches and functions write, and another machine's folder",
        _HERS,
    ),
    (
        "s3:PutObject",
        f"{_OWN}/output/model.joblib",
        "the folder of a machine, asked for by another",
        {"aws:userid": "AROAEXAMPLE:i-0aaaaaaaaaaaaaaaa"},
    ),
    (
        ["logs:CreateLogStream", "logs:PutLogEvents"],
        "arn:aws:logs:{region}:{account}:log-group:/aws/lambda/{deployment}-reap:log-stream:x",
        "a function's log",
        _HERS,
    ),
]
