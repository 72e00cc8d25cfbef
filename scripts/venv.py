#!/usr/bin/env python3
"""Make .venv hold what a requirements file locks; plain python3, called by the Makefile.

Quick when nothing changed: it compares the content of the requirements with what was installed.
The requirements name each package's hashes (`make lock` writes them), and pip takes no other file.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
MINIMUM = (3, 11)
POLL_SECONDS = 0.2
LINE_SECONDS = 10.0
LAST_LINES = 30
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


def advice(said: str, name: str) -> str:
    """Return what to do, given what `python -m venv` or pip printed about requirements `name`."""
    if "DO NOT MATCH THE HASHES" in said:
        return (
            f"A package is not the file that {name} locks; pip names it above, and nothing was "
            "installed. Do not trust it: look at the package index, or run make lock if the "
            "lock itself is wrong"
        )
    if "No space left on device" in said or "Disk quota exceeded" in said:
        return "The disk is full: .venv needs up to 1.1 GB; make room and try again"
    if "Read-only file system" in said or "Permission denied" in said:
        return f"{ROOT} cannot be written to: work in a clone that is yours"
    if "ensurepip" in said or "No module named venv" in said:
        return "python3 lacks venv: install it (Debian: apt install python3-venv)"
    if "No matching distribution" in said or "Could not find a version" in said:
        return "A package could not be fetched; is the package index reachable (pip config list)?"
    return "Its own words are above"


class Moving:
    """One line that tells how far it is; without a terminal, a line now and then.

    As `console.Moving`, which needs what is only being installed here.
    """

    def __init__(self) -> None:
        self._started = self._shown = time.monotonic()

    def show(self, text: str) -> None:
        """Show `text` and the seconds since the beginning."""
        now = time.monotonic()
        if sys.stdout.isatty():
            print(f"\r  {text}, {now - self._started:.0f} s\x1b[K", end="", flush=True)
        elif now - self._shown > LINE_SECONDS:
            self._shown = now
            print(f"  {text}, {now - self._started:.0f} s", flush=True)

    def clear(self) -> None:
        """Take the line away."""
        if sys.stdout.isatty():
            print("\r\x1b[K", end="", flush=True)


def count_installed(folder: Path) -> int:
    """Return how many packages the environment in `folder` holds."""
    # Not lib*: where venv makes lib64, it is a link to lib, and each package would count twice.
    return sum(1 for _ in folder.glob("lib/python3*/site-packages/*.dist-info"))


def where(said: str, installed: int) -> str:
    """Return how far pip is.

    Args:
        said: all that it has printed.
        installed: how many packages have come since it began to install.
    """
    listed = re.search(r"^Installing collected packages: (.*)$", said, re.MULTILINE)
    if listed is None:
        return f"{len(re.findall('^Collecting ', said, re.MULTILINE))} packages found"
    total = len(listed[1].split(","))
    return f"{min(installed, total)} of {total} packages installed"


def _run(command: list[str], how_far: Callable[[str], str]) -> tuple[int, str]:
    """Run one step, tell how far it is, and return its exit status and what it printed."""
    moving = Moving()
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        while True:
            running = process.poll() is None
            output.seek(0)
            said = output.read()
            if not running:
                moving.clear()
                return process.returncode, said
            moving.show(how_far(said))
            time.sleep(POLL_SECONDS)


def install(folder: Path, name: str, python: str, *options: str) -> str | None:
    """Make `folder` a virtual environment of what requirements file `name` locks.

    Args:
        python: the interpreter to make it with.
        options: further ones for ``python -m venv``.

    Returns:
        Why it could not, pip's own words first, or None.
    """
    inside = [str(folder / "bin" / "python"), "-m"]
    pip = [*inside, "pip", "--disable-pip-version-check", "install"]
    before = count_installed(folder)

    def packages(said: str) -> str:
        return where(said, count_installed(folder) - before)

    for command, how_far in (
        ([python, "-m", "venv", *options, str(folder)], lambda _: "making the environment"),
        # pip: "Secure installs": a file whose hash is not named is not installed. It would compile
        # thousands of modules, one after another; Python compiles the few that are imported.
        ([*pip, "--no-compile", "--require-hashes", "-r", str(ROOT / name)], packages),
    ):
        status, said = _run(command, how_far)
        if status:
            words = "\n".join(said.strip().splitlines()[-LAST_LINES:])
            return f"{folder.name} could not be set up\n{words}\n{advice(said, name)}"
    if name == ORDER[-1]:  # the tests write no bytecode, and would compile at every start
        # It fails for a module that is not for this Python, and pip passes over those too.
        _run([*inside, "compileall", "-qq", "-j", "0", str(folder / "lib")], lambda _: "compiling")
    return None


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
    try:
        problem = install(VENV, name, python)
        if problem is None:
            (VENV / name).write_text(digest(name))
    except OSError as error:
        problem = f"{VENV.name} could not be set up\n{error}\n{advice(str(error), name)}"
    except KeyboardInterrupt:
        print("\nstopped; the next make goes on from here", file=sys.stderr)
        return 130
    if problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    print(f".venv is ready after {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
