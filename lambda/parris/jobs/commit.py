"""The git commit that a job's files were uploaded from, as the object of its configuration has it.

It stands in the object's own metadata, so that a launch reads it with the configuration. It says
what it is of: files that somebody else changed since are not of that commit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING

from .config import CONFIG_FILENAME

if TYPE_CHECKING:
    from ..runs.documents import GitRecord

_COMMIT, _DIRTY, _FILES = "git-commit", "git-dirty", "git-files"
_HASH = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
"""Of a commit: SHA-1, or SHA-256 (git's documentation, "hash-function-transition")."""


def metadata_of(git: GitRecord, etags: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata of the configuration's object.

    Args:
        git: ``commit`` and ``dirty``, as a receipt has it.
        etags: of the job's objects, by path below its folder.
    """
    dirty = "true" if git["dirty"] else "false"
    return {_COMMIT: str(git["commit"]), _DIRTY: dirty, _FILES: _digest(etags)}


def read_git(metadata: Mapping[str, str], etags: Mapping[str, str]) -> GitRecord | None:
    """Return ``commit`` and ``dirty`` of files; None if nobody noted it of these."""
    if metadata.get(_FILES) != _digest(etags):
        return None
    dirty = {"true": True, "false": False}.get(metadata.get(_DIRTY, ""))
    return as_git({"commit": metadata.get(_COMMIT), "dirty": dirty})


def as_git(held: object) -> GitRecord | None:
    """Return what a receipt holds as ``git``; None if that is nothing of the kind."""
    if not isinstance(held, Mapping):
        return None
    commit, dirty = held.get("commit"), held.get("dirty")
    if not isinstance(commit, str) or not _HASH.fullmatch(commit) or not isinstance(dirty, bool):
        return None
    return {"commit": commit, "dirty": dirty}


def _digest(etags: Mapping[str, str]) -> str:
    """Return what names the content of all files but the configuration, which has this itself."""
    lines = [f"{name}\n{etag}\n" for name, etag in sorted(etags.items()) if name != CONFIG_FILENAME]
    return sha256("".join(lines).encode()).hexdigest()
