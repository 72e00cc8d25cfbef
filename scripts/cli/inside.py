"""Names of objects as paths in a folder, and never outside of it."""

from __future__ import annotations

import unicodedata
from pathlib import Path


class NotInside(Exception):
    """A name is no path below its folder; the text says why."""


def path_inside(folder: Path, name: str) -> Path:
    """Return where the object `name`, with slashes, is to lie below `folder`.

    S3 takes any Unicode text as a key; a trainer chooses it. `folder` and the one that holds it
    (a run's and its job's) are ours too: none of them may lead elsewhere.

    Raises:
        NotInside: if the name leads out, or through a symbolic link that is already there.
    """
    parts = name.split("/")
    if name.startswith("/"):
        raise NotInside("its name is an absolute path")
    if any(part in ("", ".", "..") for part in parts):
        raise NotInside("its name has a part that is empty, . or ..")
    if "\\" in name:
        raise NotInside("its name has a backslash")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise NotInside("its name has control characters")
    path = folder
    links = [folder.parent, folder]
    for part in parts:
        path /= part
        links.append(path)
    for link in links:
        if link.is_symlink():
            raise NotInside(f"{link} is a symbolic link")
    return path
