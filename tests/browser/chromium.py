"""A headless Chromium: the host's, or Debian's packages, only unpacked."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.debian import LIBRARIES, Missing, fetch

PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""What the host may have it as."""
PACKAGES = ["chromium-headless-shell", "fonts-dejavu-core"]
"""Debian's, without a window system: some 100 MB to fetch, 300 MB unpacked."""

_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
<dir>{folder}/root/usr/share/fonts</dir>
<include ignore_missing="yes">/etc/fonts/fonts.conf</include>
<cachedir>{folder}/fonts</cachedir>
<alias><family>system-ui</family><prefer><family>DejaVu Sans</family></prefer></alias>
<alias><family>sans-serif</family><prefer><family>DejaVu Sans</family></prefer></alias>
<alias><family>ui-monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
<alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
"""
_PROGRAM = "usr/lib/chromium/chromium-headless-shell"


@dataclass(frozen=True, kw_only=True)
class Chromium:
    """The program, and what of its environment lets it find its libraries and fonts."""

    program: Path
    environment: Mapping[str, str]


def find(folder: Path) -> Chromium:
    """Return a Chromium, fetched into `folder` where PATH has none.

    Raises:
        Missing: if it is not to be had.
    """
    there = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if there:
        return Chromium(program=Path(there), environment={})
    if platform.machine() not in ("x86_64", "AMD64"):
        raise Missing(f"there is no Chromium on PATH, and this host is {platform.machine()}")
    if lacking := [name for name in ("apt-get", "dpkg") if shutil.which(name) is None]:
        raise Missing(
            f"there is no Chromium on PATH, and no {' and no '.join(lacking)} to fetch Debian's "
            f"with; install one, called {' or '.join(PROGRAMS)}"
        )
    root, stamp = folder / "root", folder / "packages"
    if not stamp.exists() or stamp.read_text().split() != PACKAGES:
        print("Chromium: fetching Debian's package, kept once it is there …", flush=True)
        fetch(folder, PACKAGES)
        stamp.write_text(" ".join(PACKAGES))
    return Chromium(program=root / _PROGRAM, environment=_environment(folder))


def _environment(folder: Path) -> dict[str, str]:
    root = folder / "root"
    libraries = [str(root / one) for one in LIBRARIES]
    libraries += [str(one) for one in (root / LIBRARIES[0]).glob("*") if one.is_dir()]
    fonts = folder / "fonts.conf"
    fonts.write_text(_FONTS.format(folder=folder))
    return {
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
        "FONTCONFIG_FILE": str(fonts),
    }
