"""A report in the results bucket, and a link by which whoever has it may read it for a while."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from scripts.deployment.outputs import Deployment, make_client

PREFIX = "reports/"
LASTS = timedelta(days=7)
"""The most that S3 grants a link (S3 user guide, "Sharing objects with presigned URLs")."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A report that others can read."""

    key: str
    link: str
    expires: datetime
    """Aware UTC."""
    may_end_before: bool
    """Whether the link was signed with credentials that expire, and ends with them."""


def publish(deployment: Deployment, path: Path, name: str, now: datetime) -> Published:
    """Put a report into the results bucket under a key that nobody has, and sign a link to it.

    Args:
        name: what its key begins with, below ``reports/``.
    """
    # The time tells reports apart, the rest keeps two of one second from being one.
    key = f"{PREFIX}{name}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}.html"
    s3 = make_client("s3", deployment.region, signature="s3v4")
    s3.put_object(
        Bucket=deployment.results_bucket,
        Key=key,
        Body=path.read_bytes(),
        ContentType="text/html; charset=utf-8",
    )
    link = s3.generate_presigned_url(
        "get_object",
        Params={"Bucket": deployment.results_bucket, "Key": key},
        ExpiresIn=int(LASTS.total_seconds()),
    )
    return Published(
        key=key, link=link, expires=now + LASTS, may_end_before="X-Amz-Security-Token=" in link
    )
