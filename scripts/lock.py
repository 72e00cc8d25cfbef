#!/usr/bin/env python3
"""Lock what each requirements*.in asks for: each package's version and hashes; plain python3.

The locks serve every Python from 3.11 on, on Linux and macOS, whatever the processor: uv resolves
for all at once and writes the hashes of all files of a version. What a lock has stays as it is
unless its .in asks for something else; ``--upgrade`` takes the newest of what no .in pins.
"""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.venv import MINIMUM, ROOT, find_python, install

WHOLE = "requirements-dev"
PARTS = ("requirements", "requirements-local")
"""Contained in the whole, so locked to its versions."""
EXAMPLES = ("docs/examples/optuna/requirements",)
"""What a person installs for an example; contained in the whole too, since tests run it there."""
APART = ("requirements-browser", "requirements-iac", "requirements-reference", "requirements-lock")
"""In environments of their own."""
LOCKER = ROOT / ".venv-lock"


def sources(name: str) -> list[Path]:
    """Return ``<name>.in`` and what it includes."""
    path = ROOT / f"{name}.in"
    included = [
        line.removeprefix("-r ").removesuffix(".in")
        for line in path.read_text().splitlines()
        if line.startswith("-r ")
    ]
    return [path, *(one for more in included for one in sources(more))]


def header(name: str) -> str:
    """Return the first line of a lock, which says what it was made of."""
    digest = sha256(b"".join(path.read_bytes() for path in sources(name))).hexdigest()
    return f"# Written by make lock from {name}.in, sha256 {digest}; change that, not this.\n"


def _lock(name: str, *options: str) -> int:
    command = [str(LOCKER / "bin" / "uv"), "pip", "compile", "--quiet", "--universal"]
    command += ["--python-version", ".".join(map(str, MINIMUM)), "--generate-hashes"]
    # Where packages come from is each person's own setting of pip.
    command += ["--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate"]
    # Else pip 23.2, which Python 3.11 brings, answers `coverage[toml]>=7` with the newest one that
    # is released, and then refuses it, since that is not the one locked (pypa/pip#12345).
    command += ["--no-strip-extras"]
    command += [*options, f"{name}.in", "--output-file", f"{name}.txt"]
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    if status == 0:
        path = ROOT / f"{name}.txt"
        path.write_text(header(name) + path.read_text())
    return status


def main(argv: list[str]) -> int:
    """Write every lock; 0 done, 1 failed, 2 usage."""
    if argv not in ([], ["--upgrade"]):
        print("usage: lock.py [--upgrade]", file=sys.stderr)
        return 2
    python = find_python()
    problem = install(LOCKER, "requirements-lock.txt", python) if python else "no python3.11"
    if problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    for name in (WHOLE, *PARTS, *EXAMPLES, *APART):
        within = ["--constraint", f"{WHOLE}.txt"] if name in (*PARTS, *EXAMPLES) else argv
        if _lock(name, *within):
            print(f"error: {name}.in could not be locked; uv says why above", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
