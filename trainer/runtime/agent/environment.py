"""What a trainer ran with: Python packages, kernel, NVIDIA driver and CUDA, kept as a text file.

All of it is read from /proc and from the names of folders, so that no program of the trainer's is
run for it; nvidia-smi alone is, on a thread that nothing waits for. What is not found is left out.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from .limits import LONGEST_LOOK_SECONDS, SMI_SECONDS
from .process import living
from .script import SETUP
from .store import PACKAGES

MAX_BYTES = 256 * 1024
"""Of the file; some thousands of packages."""
MAX_FOLDERS = 2000
"""Below source/ and setup/, which are looked through for an environment of Python."""
DEPTH = 3
"""How deep below them it may lie."""

MAX_LINES = 100
"""Of a .pth file."""

_PYTHON = re.compile(r"python[0-9.]*")
_PLACES = tuple(
    f"{root}lib{bits}/python3*/{name}"
    for root in ("", "local/")
    for bits in ("", "64")
    for name in ("site-packages", "dist-packages")
)
"""Where packages lie below an interpreter's prefix, Debian's own included (Python documentation,
"site"; Debian Python policy)."""
_PACKAGE = re.compile(r"([A-Za-z0-9._-]+?)-([^-]+)(?:-py[0-9.]+)?\.(?:dist|egg)-info")
"""What pip and uv call a package's folder (Python packaging, "Recording installed projects")."""


class Environment:
    """`packages.txt`, which goes with the last upload."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._graphics: dict[str, str] = {}
        self._prefixes: list[Path] = []
        self._over = threading.Event()

    def start(self, group: int) -> None:
        """Look at the machine, and at what the trainer's processes are, until `write`."""
        for name, work, words in (
            ("graphics", read_graphics, (self._graphics,)),
            ("environment", self._observe, (group,)),
        ):
            threading.Thread(target=work, args=words, daemon=True, name=name).start()

    def write(self) -> None:
        """Write it; a disk that is full is no failure of the run, nor a warning."""
        self._over.set()
        source = self._home / "source"
        found = [*find_environments(source), *find_environments(self._home / SETUP)]
        prefixes = list(dict.fromkeys([*self._prefixes, *found]))
        text = describe(prefixes or [Path(sys.prefix)], source, dict(self._graphics))
        with contextlib.suppress(OSError):
            (self._home / PACKAGES).write_text(text)

    def _observe(self, group: int) -> None:
        pause = 0.5
        while not self._over.wait(pause):
            for process in living(group):
                prefix = interpreter_prefix(process)
                if prefix is not None and prefix not in self._prefixes:
                    self._prefixes.append(prefix)
            pause = min(2 * pause, LONGEST_LOOK_SECONDS)


def read_graphics(found: dict[str, str]) -> None:
    """Fill `found` with what nvidia-smi says at its head, if it is there.

    Its CUDA is the newest that the driver can do (nvidia-smi manual); which one a trainer uses, its
    packages say.
    """
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["nvidia-smi"]
        answer = subprocess.run(command, check=False, timeout=SMI_SECONDS, capture_output=True)
        said = answer.stdout.decode(errors="replace")
        for key, title in (("nvidia-driver", "Driver"), ("cuda", "CUDA")):
            version = re.search(rf"\b{title} Version\s*:\s*([0-9][0-9.]*)", said)
            if version:
                found[key] = version[1]


def interpreter_prefix(process: Path) -> Optional[Path]:
    """Return where the interpreter of a process has its packages; None if it is not Python.

    As Python finds it: by the name that it was called by, through PATH, a link not followed ("venv"
    in its library reference).

    Args:
        process: its folder below /proc (proc(5)).
    """
    with contextlib.suppress(OSError):
        name = os.fsdecode((process / "cmdline").read_bytes().split(b"\0")[0])
        if not _PYTHON.fullmatch(os.path.basename(name)):  # noqa: PTH119 - a name, and no path yet
            return None
        path: Optional[str] = os.path.join(os.readlink(process / "cwd"), name)  # noqa: PTH115, PTH118
        if "/" not in name:
            values = (process / "environ").read_bytes().split(b"\0")
            known = dict(value.partition(b"=")[::2] for value in values)
            path = shutil.which(name, path=os.fsdecode(known.get(b"PATH", os.fsencode(os.defpath))))
        found = path or os.readlink(process / "exe")  # noqa: PTH115
        return Path(os.path.normpath(found)).parent.parent
    return None


def find_environments(folder: Path) -> Iterator[Path]:
    """Yield the virtual environments below `folder`, which have a pyvenv.cfg (PEP 405)."""
    root = str(folder)
    for seen, (place, below, files) in enumerate(os.walk(root)):
        if "pyvenv.cfg" in files:
            yield Path(place)
        if "pyvenv.cfg" in files or place[len(root) :].count("/") >= DEPTH or seen > MAX_FOLDERS:
            below.clear()


def describe(prefixes: list[Path], source: Path, graphics: dict[str, str]) -> str:
    """Return the file: a comment for each fact, then each interpreter's packages as pip has them.

    Args:
        prefixes: of the interpreters.
        source: the job's folder, below which a prefix is named by its path there.
    """
    facts = {"kernel": platform.release(), "machine": platform.machine(), **graphics}
    lines = ["# what the trainer ran with", *(f"# {key} {value}" for key, value in facts.items())]
    for prefix in prefixes:
        inside = source in prefix.parents
        shown = str(prefix.relative_to(source) if inside else prefix)
        shown = "".join(letter if letter.isprintable() else "?" for letter in shown)
        version, packages = read_packages(prefix)
        lines += ["", f"# python {version} of {shown}", *packages]
    text = "\n".join(lines).encode(errors="replace")[:MAX_BYTES].decode(errors="ignore")
    return text + "\n" if len(text) < MAX_BYTES else text.rpartition("\n")[0] + "\n# cut short\n"


def read_packages(prefix: Path) -> tuple[str, list[str]]:
    """Return the version of an interpreter, "unknown" or what is known, and its packages."""
    version, prefixes, found = "unknown", [prefix], dict[str, str]()
    with contextlib.suppress(OSError):
        text = (prefix / "pyvenv.cfg").read_text(errors="replace")
        rows = (line.partition("=") for line in text.splitlines())
        known = {key.strip(): value.strip() for key, _, value in rows}
        version = known.get("version_info") or known.get("version") or version
        if known.get("include-system-site-packages") == "true" and "home" in known:
            prefixes.append(Path(known["home"]).parent)
    for place in reversed(prefixes):  # what lies nearer wins
        for pattern in _PLACES:
            for folder in sorted(place.glob(pattern)):
                for other in (*_named_beside(folder), folder):
                    found.update(_packages_in(other))
                if version == "unknown":
                    version = folder.parent.name.replace("python", "")
    return version, [f"{name}=={found[name]}" for name in sorted(found)]


def _packages_in(folder: Path) -> Iterator[tuple[str, str]]:
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - names are enough
            if package := _PACKAGE.fullmatch(name):
                yield re.sub(r"[-_.]+", "-", package[1]).lower(), package[2]  # PEP 503


def _named_beside(folder: Path) -> Iterator[Path]:
    """Yield the folders that a folder's .pth files add (Python library reference, "site")."""
    for path in sorted(folder.glob("*.pth")):
        with contextlib.suppress(OSError):
            for line in path.read_text(errors="replace").splitlines()[:MAX_LINES]:
                if line.strip() and not line.startswith(("#", "import ", "import\t")):
                    yield folder / line.strip()
