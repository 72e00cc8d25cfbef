"""Programs in environments of their own, since they want other versions than the tests do.

checkov brings a module that takes the place of python-hcl2's; its policy-sentry is an old one.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from tests.proof.deployed import ROOT


def environment(name: str) -> Path:
    """Return `.venv-<name>`, made of ``requirements-<name>.txt`` unless it already is."""
    folder, wanted = ROOT / f".venv-{name}", ROOT / f"requirements-{name}.txt"
    digest = hashlib.sha256(wanted.read_bytes()).hexdigest()
    made_of = folder / "made-of"
    if not made_of.is_file() or made_of.read_text() != digest:
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [str(folder / "bin/pip"), "install", "--quiet", "--requirement", str(wanted)],
        ):
            subprocess.run(command, check=True, capture_output=True)
        made_of.write_text(digest)
    return folder
