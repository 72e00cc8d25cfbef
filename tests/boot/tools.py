"""Where the programs that a boot needs come from: PATH, or Debian's packages, only unpacked.

Nothing is installed on the host: apt fetches into folders of the clone's own, dpkg only unpacks.
"""

from __future__ import annotations

import os
import platform
import pwd
import shutil
import subprocess
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.debian import LIBRARIES, Missing, fetch

PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "fakeroot": "fakeroot",
}
"""The Debian package of each program."""

HOST = ("apt-get", "dpkg", "unshare", "setpriv", "tar")
"""What the host must have itself: mmdebstrap calls the first two; the next are util-linux's."""

RANGERS = ("newuidmap", "newgidmap")
"""What the host of a user who is not root must have: they are setuid, so unpacked ones do not."""

_PLACES = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The programs: each is called by its name, with `environment`."""

    environment: Mapping[str, str]
    root: bool

    def run(self, *argv: str | os.PathLike[str], **options: object) -> None:
        """Run one of them.

        Raises:
            subprocess.CalledProcessError: with its output, if it fails.
        """
        subprocess.run(
            [os.fspath(word) for word in argv],
            env=dict(self.environment),
            check=True,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            **options,  # type: ignore[call-overload]
        )


def wanted(found: Collection[str], *, root: bool) -> list[str]:
    """Return the packages whose programs are not among the `found` ones.

    Args:
        root: who is not root unpacks the image's files, which are root's, with fakeroot.
    """
    return [
        package
        for program, package in PACKAGES.items()
        if program not in found and (program != "fakeroot" or not root)
    ]


def refusal(machine: str, found: Collection[str], packages: Collection[str]) -> str | None:
    """Return why a host cannot boot a machine, or None.

    Args:
        machine: its architecture, as uname(1) says it.
        found: which programs of `HOST` it has.
        packages: what is still to be fetched.
    """
    if machine not in ("x86_64", "AMD64"):
        return f"the virtual machine is x86_64, and this host {machine}: run it on another host"
    lacking = [program for program in HOST if program not in found]
    if not lacking:
        return None
    install = " ".join(sorted({*packages, "apt", "dpkg", "util-linux", "tar"}))
    return (
        f"this host has no {', '.join(lacking)}; a Debian or Ubuntu host has them, and fetches the "
        f"rest itself; elsewhere install what its packages call {install}"
    )


def ids_refusal(user: str, found: Collection[str], ranges: Iterable[str]) -> str | None:
    """Return why a user who is not root cannot make the image, or None.

    Its files are of many owners. mmdebstrap gives them a range of ids that is the user's own, which
    newuidmap(1) and newgidmap(1) allow; only root can let them do so.

    Args:
        found: which of the two there are.
        ranges: the texts of /etc/subuid and /etc/subgid.
    """
    mapped = all(any(line.startswith(f"{user}:") for line in text.splitlines()) for text in ranges)
    if mapped and {*RANGERS} <= {*found}:
        return None
    ids = "100000-165535"
    return (
        f"{user} has no range of ids of its own, which the image's files need; either run it as "
        "root, or once: sudo apt-get install uidmap && "
        f"sudo usermod --add-subuids {ids} --add-subgids {ids} {user}"
    )


def find(folder: Path) -> Tools:
    """Return the programs, fetched into `folder` where PATH lacks them.

    Raises:
        Missing: if they are not to be had.
    """
    root = os.geteuid() == 0
    unpacked = folder / "root"
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    packages = wanted([name for name in PACKAGES if shutil.which(name, path=path)], root=root)
    if why := refusal(
        platform.machine(), [name for name in HOST if shutil.which(name, path=path)], packages
    ):
        raise Missing(why)
    if not root and (why := _ids_refusal(path)):
        raise Missing(why)
    environment = {**os.environ, "PATH": path, "LC_ALL": "C.UTF-8"}
    if packages:
        stamp = folder / "packages"
        if not stamp.exists() or stamp.read_text().split() != packages:
            fetch(folder, packages)
            stamp.write_text(" ".join(packages))
        environment["PATH"] = os.pathsep.join([path, *(str(unpacked / one) for one in _PLACES)])
        libraries = [str(unpacked / one) for one in LIBRARIES]
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(libraries)
        environment["PERL5LIB"] = str(unpacked / "usr/share/perl5")
    return Tools(environment=environment, root=root)


def _ids_refusal(path: str) -> str | None:
    texts = []
    for name in ("subuid", "subgid"):
        try:
            texts.append(Path("/etc", name).read_text())
        except OSError:
            texts.append("")
    found = [name for name in RANGERS if shutil.which(name, path=path)]
    return ids_refusal(pwd.getpwuid(os.geteuid()).pw_name, found, texts)
