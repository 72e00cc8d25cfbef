"""The files of a run on its machine, as the file system shows them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class FileState(NamedTuple):
    """What the file system says of a file; it differs when the file was written in between."""

    size: int
    modified_ns: int
    changed_ns: int
    inode: int

    @property
    def changed(self) -> float:
        """The time.time() at which it was changed last."""
        return self.changed_ns / 1e9


def walk(paths: Iterable[Path]) -> tuple[dict[Path, FileState], list[Path]]:
    """Return the regular files, by links too, and what else there is, a dangling link say."""
    found: dict[Path, FileState] = {}
    strange: list[Path] = []

    def take(path: Path, above: tuple[tuple[int, int], ...]) -> None:
        try:
            about = path.stat()
            this = about.st_dev, about.st_ino
            if stat.S_ISDIR(about.st_mode) and this not in above:  # not round in circles
                for entry in os.scandir(path):
                    take(Path(entry.path), (*above, this))
            elif stat.S_ISREG(about.st_mode):
                times = about.st_mtime_ns, about.st_ctime_ns
                found[path] = FileState(about.st_size, *times, about.st_ino)
            elif not stat.S_ISDIR(about.st_mode):
                strange.append(path)
        except OSError:
            if path.is_symlink():
                strange.append(path)  # else it went away meanwhile

    for path in paths:
        take(path, ())
    return found, strange
