"""What a job's files must be, on disk as in the bucket; upload and launch both ask here."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import InvalidConfig

GRID_FILENAME = "grid.json"
"""Beside a job's training-config.json: its events then start a grid."""

MAX_JOB_FILES = 200
"""A job is a script and what stands beside it; a data set belongs in a bucket of its own."""

MAX_FILE_BYTES = 5 * 1024**3
"""The most that one PutObject or CopyObject takes (S3 API reference)."""

MAX_SCRIPT_BYTES = 10 * 1024**2
"""A script is text; what is larger is data, and belongs beside it or in another bucket."""


def decode(body: bytes, source: str) -> str:
    """Return the text in `body`, without the byte order mark that some editors put before it.

    Raises:
        InvalidConfig: if it is not UTF-8.
    """
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = f"byte {error.start}: not UTF-8 text ({error.reason}); save it as UTF-8"
        raise InvalidConfig(source, [problem]) from error


def file_problems(sizes: Mapping[str, int]) -> list[str]:
    """Return what keeps files from being a job's.

    Args:
        sizes: in bytes, by path below the job's folder.
    """
    problems = [
        f"{name}: {size} bytes, over 5 GiB; keep data in a bucket of its own"
        for name, size in sizes.items()
        if size > MAX_FILE_BYTES
    ]
    if len(sizes) > MAX_JOB_FILES:
        problems.append(
            f"{len(sizes)} files (at most {MAX_JOB_FILES}); keep data in a bucket of its own"
        )
    return problems


def script_problems(script: str, sizes: Mapping[str, int]) -> list[str]:
    """Return what is wrong with the file that training-script-filename names."""
    key = "training-script-filename"
    if script not in sizes:
        there = ", ".join(sorted(sizes)[:10]) or "none"
        return [f"{key}: there is no file {script} beside it; files: {there}"]
    if sizes[script] == 0:
        return [f"{key}: {script} is empty"]
    if sizes[script] > MAX_SCRIPT_BYTES:
        size = f"{sizes[script]} bytes, over 10 MiB"
        return [f"{key}: {script} has {size}; keep data in a bucket of its own"]
    return []
