"""A clone of this repository, and make in it, on its own embedded cloud."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from scripts import package_lambda


def clone_into(folder: Path) -> Callable[..., str]:
    """Put what is committed into `folder`; return what calls make there, with LOCAL=1."""
    root = package_lambda.ROOT
    # As a person would call make, not as a child of `make bench`: no "Entering directory".
    inherited = {name for name in os.environ if name.startswith(("MAKE", "MFLAGS"))}
    environ = {name: value for name, value in os.environ.items() if name not in inherited}

    def make(*arguments: str) -> str:
        result = subprocess.run(
            ["make", *arguments, "LOCAL=1"],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise SystemExit(f"error: make {' '.join(arguments)}\n{result.stdout}{result.stderr}")
        return result.stdout

    names = subprocess.run(
        ["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((root / name).read_bytes())
    for name in (".ci/test", ".ci/check"):
        (folder / name).chmod(0o755)
    (folder / ".venv").symlink_to(root / ".venv")
    return make
