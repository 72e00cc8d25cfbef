"""A Python that has PyTorch, for the test of the sample job `ddp`."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
from pathlib import Path

from tests.debian import LIBRARIES, Missing, fetch

NAMED = "PARRIS_TEST_TORCH"
"""Names a Python that has torch and numpy."""
PACKAGE = "python3-torch"
"""Debian's, for CPUs, which belongs to Debian's own Python. That of PyPI brings 5 GB for CUDA."""
_DEBIANS = "/usr/bin/python3"
_USES = (
    "import numpy, torch.distributed.run as run;"
    "run.Std.from_str('0').value, run.torch.distributed.init_process_group"
)
_ELASTIC = "torch/distributed/elastic/multiprocessing/api.py"
_MEMBERS = "for s in Std:", "for s in Std.__members__.values():"
"""PyTorch 1.13 looks for 0 among a flag's members, where Python 3.11 has none of no bit any more
(Python library reference, enum.Flag); torchrun needs it."""


def find(folder: Path) -> str:
    """Return a Python with torch: the one that is named, Debian's, or Debian's package, unpacked.

    Args:
        folder: where it is unpacked, or was by a run before.

    Raises:
        Missing: if there is none, and none is to be had.
        ValueError: if the one that is named has no torch.
        RuntimeError: if Debian's package does not work.
    """
    if named := os.environ.get(NAMED):
        if _has_torch(named):
            return named
        raise ValueError(f"{NAMED} is {named}, which has no torch or no numpy")
    if _has_torch(_DEBIANS):
        return _DEBIANS
    is_debian = shutil.which("apt-get") and Path(_DEBIANS).exists()
    if not is_debian or platform.machine() != "x86_64":  # as tests.debian has it
        raise Missing(f"there is no torch, and no apt-get to fetch it; {NAMED} may name a Python")
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / "python"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not python.exists():
            fetch(folder, [PACKAGE])
            elastic = folder / "root/usr/lib/python3/dist-packages" / _ELASTIC
            elastic.write_text(elastic.read_text().replace(*_MEMBERS))
            python.write_text(_wrapper(folder / "root"))
            python.chmod(0o755)
    if not _has_torch(str(python)):
        raise RuntimeError(f"{PACKAGE} was unpacked in {folder}, and cannot be imported")
    return str(python)


def _has_torch(python: str) -> bool:
    """Return whether a Python can train on several machines."""
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    try:
        done = subprocess.run([python, "-c", _USES], env=environ, capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def _wrapper(root: Path) -> str:
    """Return a script that runs Debian's Python with packages unpacked in `root`."""
    libraries = [root / place / end for place in LIBRARIES for end in ("", "blas", "lapack")]
    return (
        "#!/bin/sh\n"
        f'export LD_LIBRARY_PATH="{":".join(map(str, libraries))}"\n'
        f'export PYTHONPATH="{root}/usr/lib/python3/dist-packages"\n'
        f'exec {_DEBIANS} "$@"\n'
    )
