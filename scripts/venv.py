#!/usr/bin/env python3
"""Make .venv hold what a requirements file locks; plain python3, called by the Makefile.

Quick when nothing changed: it compares the content of the requirements with what was installed.
The requirements name each package's hashes (`make lock` writes them), and pip takes no other file.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
MINIMUM = (3, 11)
# Each file contains the one before it.
ORDER = ("requirements.txt", "requirements-local.txt", "requirements-dev.txt")


def digest(name: str) -> str:
    """Return what stands for the content of requirements file `name`."""
    return hashlib.sha256((ROOT / name).read_bytes()).hexdigest()


def is_satisfied(name: str) -> bool:
    """Return whether `name`, or a later file that contains it, is installed as it stands."""
    return (VENV / "bin" / "python").exists() and any(
        (VENV / later).exists() and (VENV / later).read_text() == digest(later)
        for later in ORDER[ORDER.index(name) :]
    )


def find_python() -> str | None:
    """Return a Python that is new enough, or None."""
    if sys.version_info >= MINIMUM:
        return sys.executable
    return next(
        (found for minor in (13, 12, 11) if (found := shutil.which(f"python3.{minor}"))), None
    )


def install(folder: Path, name: str, python: str, *options: str) -> str | None:
    """Make `folder` a virtual environment of what requirements file `name` locks.

    Args:
        python: the interpreter to make it with.
        options: further ones for ``python -m venv``.

    Returns:
        Why it could not, pip's own words first, or None.
    """
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    for command in (
        [python, "-m", "venv", *options, str(folder)],
        # pip: "Secure installs": a file whose hash is not named is not installed.
        [*pip, "install", "--quiet", "--require-hashes", "-r", str(ROOT / name)],
    ):
        result = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        if result.returncode:
            said = result.stdout.decode(errors="replace").strip()
            return f"{folder.name} could not be set up\n{said}\n{_advice(said, name)}"
    return None


def _advice(said: str, name: str) -> str:
    if "DO NOT MATCH THE HASHES" in said:
        return (
            f"A package is not the file that {name} locks; pip names it above, and nothing was "
            "installed. Do not trust it: look at the package index, or run make lock if the "
            "lock itself is wrong"
        )
    return "If python3 lacks venv, install it (Debian: apt install python3-venv)"


def main(argv: list[str]) -> int:
    """Install the named requirements file; 0 done, 1 failed, 2 usage."""
    if len(argv) != 1 or argv[0] not in ORDER:
        print(f"usage: venv.py {'|'.join(ORDER)}", file=sys.stderr)
        return 2
    name = argv[0]
    if is_satisfied(name):
        return 0
    python = find_python()
    if python is None:
        found = ".".join(map(str, sys.version_info[:2]))
        print(
            f"error: python3 is {found}; Parris needs 3.11 or newer (python3.11 on PATH will do)",
            file=sys.stderr,
        )
        return 1
    print(f"setting up .venv from {name} (a minute or two, once)", flush=True)
    started = time.monotonic()
    if problem := install(VENV, name, python):
        print(f"error: {problem}", file=sys.stderr)
        return 1
    (VENV / name).write_text(digest(name))
    print(f".venv is ready after {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
