"""JSON objects of the results bucket, changed only under a condition: what Parris remembers."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CHANGED = ("PreconditionFailed", "ConditionalRequestConflict")
"""What S3 says when somebody else has written, or is writing (S3 user guide, "Conditional
writes")."""


_WRITE = "parris-write"
"""The metadata that names the write which made an object."""


@dataclass(frozen=True, kw_only=True)
class Objects:
    """The results bucket as a store of small facts."""

    s3: S3Client
    results_bucket: str

    def read(self, key: str) -> dict[str, Any]:
        """Return a JSON object of the results bucket; {} if there is none."""
        try:
            body = self.s3.get_object(Bucket=self.results_bucket, Key=key)["Body"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            return {}
        content: dict[str, Any] = json.loads(body.read())
        return content

    def list_keys(self, prefix: str) -> list[str]:
        """Return the keys of the results bucket that begin with `prefix`, in their order."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.results_bucket, Prefix=prefix
        )
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def put(self, key: str, content: Mapping[str, Any], **condition: str) -> str:
        """Write an object of the results bucket; return its ETag.

        A write whose answer was lost is sent again by botocore, and then meets its own effect,
        which reads as somebody else's. Each write has a name of its own to tell that by.
        """
        name = secrets.token_hex(8)
        try:
            answer = self.s3.put_object(
                Bucket=self.results_bucket,
                Key=key,
                Body=json.dumps(content, indent=2).encode(),
                ContentType="application/json",
                Metadata={_WRITE: name},
                **condition,  # type: ignore[arg-type]
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in _CHANGED:
                raise
            if etag := self._written_as(key, name):
                return etag
            raise
        return answer["ETag"]

    def _written_as(self, key: str, name: str) -> str | None:
        """Return the ETag of `key` if the write `name` made it what it is."""
        try:
            about = self.s3.head_object(Bucket=self.results_bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("404", "NoSuchKey"):
                raise
            return None
        return about["ETag"] if about["Metadata"].get(_WRITE) == name else None
