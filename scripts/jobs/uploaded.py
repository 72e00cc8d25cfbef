"""What this clone has uploaded, for buckets whose ETags do not tell.

Under SSE-KMS an object's ETag is not the MD5 of its content (S3 API reference, "Object"), and a
listing has nothing else to compare with. What PutObject answered is noted here instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from scripts.deployment.outputs import ROOT

PATH = ROOT / ".parris" / "uploaded.json"


def read(bucket: str, path: Path = PATH) -> Mapping[str, tuple[str, str]]:
    """Return (the bucket's ETag, the MD5 of the file) by key, as this clone last uploaded them."""
    return {key: (etag, md5) for key, (etag, md5) in _all(path).get(bucket, {}).items()}


def note(bucket: str, entries: Mapping[str, tuple[str, str]], path: Path = PATH) -> None:
    """Remember `entries`, as `read` returns them, besides what is known."""
    known = _all(path)
    known[bucket] = {**known.get(bucket, {}), **{key: list(pair) for key, pair in entries.items()}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known, indent=1) + "\n")


def _all(path: Path) -> dict[str, dict[str, list[str]]]:
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):  # none yet, or cut short: a file too many is uploaded
        return {}
    return known if isinstance(known, dict) else {}
