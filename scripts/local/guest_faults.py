"""How a machine of the embedded cloud is made sick at boot; faults.py says what each fault is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

MACHINE_FAULTS = (
    "no-shutdown",
    "no-endpoint",
    "no-sts",
    "user-data-dies",
    "disk-full",
    "no-machine",
)
DISK_KIB = 1024
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")

NOBODY = "http://127.0.0.1:9"
"""The discard port: privileged, and no system has answered on it for decades."""

_SHAM = """#!/bin/sh
echo "[fault no-shutdown] {name} $*: nothing happens"
"""

# One small disk below all of a machine's folders but those that init needs.
_DISK = """
set -e
mount -t tmpfs -o "size=$2k" tmpfs "$1/root"
for name in parris tmp; do
  mkdir "$1/root/.$name"
  mount --bind "$1/root/.$name" "$1/$name"
done
shift 2
exec "$@"
"""


def user_data(content: bytes) -> bytes:
    """Return a script that dies at its first line."""
    first, newline, rest = content.partition(b"\n")
    if not content.startswith(b"#!"):
        return content
    return first + b"\necho '[fault user-data-dies]'; exit 1\n" + newline + rest


def write_sham(path: Path) -> None:
    """Put a power command at `path` that does nothing."""
    path.write_text(_SHAM.format(name=path.name))


def on_small_disk(argv: list[str], directory: Path, faults: Iterable[str]) -> list[str]:
    """Return `argv`, on a disk of the size that a fault says, if one does."""
    for fault in faults:
        kind, _, size = fault.partition(":")
        if kind == "disk-full":
            mount = ["sh", "-c", _DISK, "sh", str(directory), size or str(DISK_KIB)]
            return [*NAMESPACE, *mount, *argv]
    return argv
