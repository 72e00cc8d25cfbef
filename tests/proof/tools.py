"""Programs in environments of their own, since they want other versions than the tests do.

checkov brings a module that takes the place of python-hcl2's; its policy-sentry is an old one.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from scripts.venv import install
from tests.proof.deployed import ROOT


def environment(name: str) -> Path:
    """Return `.venv-<name>`, made of ``requirements-<name>.txt`` unless it already is.

    Raises:
        SystemExit: if it cannot be made, in words.
    """
    folder, locked = ROOT / f".venv-{name}", f"requirements-{name}.txt"
    digest = hashlib.sha256((ROOT / locked).read_bytes()).hexdigest()
    made_of = folder / "made-of"
    if not made_of.is_file() or made_of.read_text() != digest:
        if problem := install(folder, locked, sys.executable, "--clear"):
            raise SystemExit(f"error: {problem}")
        made_of.write_text(digest)
    return folder
