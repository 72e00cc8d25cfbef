"""What the two buckets refuse whoever is let in: plain HTTP."""

from tests.proof.table import Rows

_OBJECTS = [
    "{config}/training-config.json",
    "{config}",
    "{results}/runs/digits/20261124-abcdef/run.json",
    "{results}",
]

NEEDS: Rows = [
    (
        "s3:GetObject",
        _OBJECTS,
        "every call of every principal",
        {"aws:SecureTransport": "true"},
        "a bucket calls nothing itself, it answers",
    )
]

REFUSALS: Rows = [("s3:GetObject", _OBJECTS, "a call over HTTP", {"aws:SecureTransport": "false"})]
