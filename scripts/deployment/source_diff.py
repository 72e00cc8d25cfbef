"""The files that two runs began with, as a unified diff."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from parris.aws.storage import StoredFile
from parris.errors import plain
from scripts.deployment.outputs import Deployment
from scripts.deployment.runs import Run
from scripts.deployment.stores import storage_of

MAX_BYTES = 256 * 1024
"""Of a file that is compared line by line; what is larger is data."""
MAX_LINES = 2000
"""Of a diff."""


def diff_sources(deployment: Deployment, first: Run, second: Run) -> list[str]:
    """Return the lines that turn the files of one run into those of another, as text.

    A file that is no text, or over MAX_BYTES, is only named; MAX_LINES at most.
    """
    storage = storage_of(deployment)
    old, new = (storage.list_source(run.prefix) for run in (first, second))
    lines: list[str] = []
    for name in sorted(old.keys() | new.keys()):
        if name in old and name in new and old[name] == new[name]:
            continue
        texts = [
            _text(deployment, run, name, files) for run, files in ((first, old), (second, new))
        ]
        lines += compare_texts(name, texts[0], texts[1])
        if len(lines) > MAX_LINES:
            return [*lines[:MAX_LINES], "(cut short; make results fetches the files of both runs)"]
    return lines


def compare_texts(name: str, old: str | None, new: str | None) -> Iterator[str]:
    """Yield the lines of one file's diff; none if both are the same.

    Args:
        old: its text, empty where the file is missing; None if that cannot be compared.
    """
    shown = plain(name).replace("\n", "\\n")
    if old is None or new is None:
        yield f"{shown} differs; it is no text, or over {MAX_BYTES // 1024} KiB"
        return
    # Only at "\n": other breaks are characters of a line, which is shown as one.
    before, after = (text.split("\n") if text else [] for text in (old, new))
    found = difflib.unified_diff(before, after, f"a/{shown}", f"b/{shown}", lineterm="")
    for line in found:
        yield plain(line.replace("\r", "\\r"))


def _text(
    deployment: Deployment, run: Run, name: str, files: Mapping[str, StoredFile]
) -> str | None:
    if name not in files:
        return ""
    if files[name].size > MAX_BYTES:
        return None
    key = f"{run.prefix}source/{name}"
    answer = deployment.client("s3").get_object(Bucket=deployment.results_bucket, Key=key)
    body = answer["Body"].read()
    if b"\0" in body:
        return None
    try:
        return str(body.decode())
    except UnicodeDecodeError:
        return None
