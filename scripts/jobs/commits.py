"""The git commit that a job's folder lies at, and whether the folder is as that commit has it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from parris.runs.documents import GitRecord
from scripts.jobs.jobs import belongs, job_files

_SECONDS = 10
"""The most that git may take: an upload does not hang on it."""


def read_commit(job: str, folder: Path) -> GitRecord | None:
    """Return ``commit`` and ``dirty`` of a job's files, as a receipt has them.

    Dirty is a job whose folder has changed, new or ignored files that would be uploaded, or lacks
    one. None where there is no git, no clone or no commit.
    """
    try:
        commit, top = _git(folder, "rev-parse", "HEAD", "--show-toplevel")
        changed = _git(folder, "diff", "--name-only", "-z", "HEAD", "--", ".")
        new = _git(folder, "ls-files", "--others", "--full-name", "-z", "--", ".")
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    ours = {path.resolve() for path in job_files(job, folder).values()}
    paths = [(Path(top) / name).resolve() for name in (*changed, *new)]
    gone = [path for path in paths if not path.exists()]
    dirty = any(path in ours for path in paths) or any(
        belongs(job, path.relative_to(folder.resolve()).parts) for path in gone
    )
    return {"commit": commit, "dirty": dirty}


def _git(folder: Path, *words: str) -> Sequence[str]:
    """Return what git says, each line or each item.

    Raises:
        OSError, ValueError, subprocess.SubprocessError: if it says nothing of use.
    """
    said = subprocess.run(
        ["git", *words],
        cwd=folder,
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_SECONDS,
        check=True,
    ).stdout.decode()
    return said.rstrip("\0").split("\0") if "-z" in words and said else said.splitlines()
