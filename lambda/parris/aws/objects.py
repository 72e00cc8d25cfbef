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

    def mark(self, key: str, content: Mapping[str, Any] | None = None) -> bool:
        """Write `key` in the results bucket if nobody has; return whether this call did."""
        try:
            self.put(key, content or {}, IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] not in _CHANGED:
                raise
            return False
        return True

    def read_tagged(self, key: str) -> tuple[dict[str, Any], str | None]:
        """Return a JSON object of the results bucket and its ETag; ({}, None) if there is none."""
        try:
            answer = self.s3.get_object(Bucket=self.results_bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            return {}, None
        return json.loads(answer["Body"].read()), answer["ETag"]

    def read(self, key: str) -> dict[str, Any]:
        return self.read_tagged(key)[0]

    def replace_tagged(self, key: str, content: Mapping[str, Any], etag: str | None) -> bool:
        """Write `key` if it is still what was read with `etag`; return whether it was."""
        if etag is None:
            return self.mark(key, content)
        try:
            self.put(key, content, IfMatch=etag)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _CHANGED:
                raise
            return False
        return True

    def list_keys(self, prefix: str) -> list[str]:
        """Return the keys of the results bucket that begin with `prefix`, in their order."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.results_bucket, Prefix=prefix
        )
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def unmark(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.results_bucket, Key=key)

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


def event_key(job: str, run_id: str, what: str) -> str:
    """Return the object that says that `what` has been done about a run or an event."""
    return f"events/{job}/{run_id}/{what}.json"


def event_id_key(job: str, digest: str) -> str:
    """Return the object that holds the run id of an event which does not know its own time."""
    return f"event-ids/{job}/{digest}.json"


QUEUE = "events/queue/"


def queue_key(stack_name: str) -> str:
    """Return the object that holds the one launch that waits for a stack's name."""
    return f"{QUEUE}{stack_name}.json"
