"""Debian's packages, only unpacked: nothing is installed on the host.

apt fetches into folders of the clone's own, dpkg only unpacks.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

LIBRARIES = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib")
"""Where the libraries of unpacked packages lie."""


class Missing(Exception):
    """The host lacks something; the text says what, and how it is had."""


def fetch(folder: Path, packages: list[str]) -> None:
    """Fetch packages, and those that they need and the host lacks, and unpack them into ``root``.

    Raises:
        Missing: if apt cannot fetch them.
    """
    lists, archives = folder / "lists", folder / "archives"
    for made in (lists, archives):
        shutil.rmtree(made, ignore_errors=True)
        (made / "partial").mkdir(parents=True)
    apt = [
        "apt-get",
        "--quiet=2",
        *("-o", f"Dir::State::Lists={lists}"),
        *("-o", f"Dir::Cache={folder}"),
        *("-o", f"Dir::Cache::archives={archives}"),
        *("-o", "Debug::NoLocking=1"),
        *("-o", "APT::Sandbox::User="),
        *("-o", "APT::Update::Post-Invoke-Success="),
    ]
    install = [*apt, "install", "--yes", "--download-only", "--no-install-recommends", *packages]
    for command in ([*apt, "update"], install):
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if result.returncode:
            lines = result.stderr.strip().splitlines()
            raise Missing(
                f"apt-get could not fetch {' '.join(packages)}: {lines[-1] if lines else '?'}; "
                f"install them: sudo apt-get install {' '.join(packages)}"
            )
    for package in archives.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, folder / "root"], check=True)
    shutil.rmtree(lists)
    shutil.rmtree(archives)
