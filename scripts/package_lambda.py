#!/usr/bin/env python3
"""Build the launch function's zip; the same sources give the same bytes.

`terraform apply` calls this with plain python3, so it needs the standard library only.
"""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ZIP = ROOT / "build" / "launch.zip"
MACHINE = (
    "cloudformation/training-stack.yaml",
    "trainer/runtime/agent.py",
    "trainer/runtime/user-data.sh",
)
MAX_BYTES = 64 * 1024
"""A small zip starts fast and can be read in the console; nothing in it needs more."""


def contents() -> dict[str, bytes]:
    """Return the zip's files by name: the package at the top, the machine in its own folders."""
    package = sorted((ROOT / "lambda" / "parris").glob("*.py"))
    files = {f"parris/{path.name}": path for path in package}
    files |= {name: ROOT / name for name in MACHINE}
    return {name: path.read_bytes() for name, path in files.items()}


def build() -> int:
    """Write the zip and return its size in bytes."""
    ZIP.parent.mkdir(exist_ok=True)
    # Whole or not at all: two deployments may be applied from here at once.
    new = ZIP.with_suffix(f".{os.getpid()}")
    with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in contents().items():
            # A fixed time and mode, or the bytes would change with every checkout.
            entry = zipfile.ZipInfo(name, date_time=(2018, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    new.replace(ZIP)
    return ZIP.stat().st_size


def main() -> int:
    """Build the zip and say what was built; 1 if it is too large."""
    size = build()
    print(f"{ZIP.relative_to(ROOT)}: {size} bytes")
    if size > MAX_BYTES:
        print(f"error: over {MAX_BYTES} bytes; what was added to the package?", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
