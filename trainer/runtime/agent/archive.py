"""A folder as one file: packed by tar with zstd, or gzip where that is missing, unpacked with care.

Nothing of an archive gets outside the folder that it is unpacked into, whoever has made it.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import stat
import subprocess
import tarfile
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

BLOCK = 1 << 16
"""Bytes that go at once between tar and what compresses, as many as a pipe holds: tarfile moves
all that is left of them with each header that it reads."""
LONGEST_SCRIPT = 1 << 16
"""Bytes of what may name its own folder: an environment's scripts have some hundred."""
ERRORS = (tarfile.TarError, OSError, EOFError, zlib.error, ValueError)
"""What an archive that is none may raise (Python library reference, "gzip", "tarfile")."""


class Size(NamedTuple):
    """What a folder holds."""

    files: int
    bytes: int

    def __str__(self) -> str:
        return f"{self.bytes:,} bytes in {self.files:,} files"


class GivenUpError(OSError):
    """The run is over meanwhile."""


def suffix() -> str:
    """Return how an archive is called that this machine can make."""
    return ".tar.zst" if shutil.which("zstd") else ".tar.gz"


def pack(folder: Path, archive: Path, given_up: threading.Event) -> Size:
    """Put all that a folder holds into `archive`, and return how much that is.

    Raises:
        OSError: if that fails.
    """
    files, size = 0, 0
    with (
        _compressing(archive) as stream,
        tarfile.open(fileobj=stream, mode="w|", bufsize=BLOCK, format=tarfile.GNU_FORMAT) as tar,
    ):
        for path in _below(folder):
            if given_up.is_set():
                raise GivenUpError
            tar.inodes = {}  # type: ignore[attr-defined] # a second name is a file of its own
            member = tar.gettarinfo(str(path), str(path.relative_to(folder)))
            if member is None:  # a socket
                continue
            if member.isreg():
                files, size = files + 1, size + member.size
                with path.open("rb") as content:
                    tar.addfile(member, content)
            elif member.isdir() or member.issym():
                tar.addfile(member)
    return Size(files, size)


def unpack(archive: Path, folder: Path, given_up: threading.Event) -> Size:
    """Make `folder` of an archive, and return how much it holds.

    Links come last, so that nothing is written through one: a virtual environment has some that
    lead out of its folder.

    Raises:
        ERRORS: if it is no archive, or would put something outside the folder.
    """
    folder.mkdir()
    root, links, files, size = os.path.realpath(folder), list[tarfile.TarInfo](), 0, 0
    with (
        _decompressing(archive) as stream,
        tarfile.open(fileobj=stream, mode="r|", bufsize=BLOCK) as tar,
    ):
        for member in tar:
            if given_up.is_set():
                raise GivenUpError
            _check(member)
            if member.issym():
                links.append(member)
                continue
            _extract(tar, member, os.path.join(root, member.name))  # noqa: PTH118
            files, size = files + member.isreg(), size + member.size
    for link in links:
        place = os.path.join(root, link.name)  # noqa: PTH118 - not resolved, nor made plainer
        if os.path.realpath(os.path.dirname(place)) != os.path.dirname(place):  # noqa: PTH120
            raise tarfile.ExtractError(f"{link.name} lies behind a link")
        os.symlink(link.linkname, place)  # noqa: PTH211
    return Size(files, size)


def relocate(folder: Path, old: str) -> None:
    """Let scripts that name the folder as `old`, where they were made, name it as it is now.

    A virtual environment's own scripts hold its path ("venv" in Python's library reference).
    """
    if str(folder) == old:
        return
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if path.parent.name != "bin" and name != "pyvenv.cfg":
                continue
            about = path.lstat()
            if not stat.S_ISREG(about.st_mode) or about.st_size > LONGEST_SCRIPT:
                continue
            content = path.read_bytes()
            if old.encode() in content and b"\0" not in content:
                path.write_bytes(content.replace(old.encode(), str(folder).encode()))


def _check(member: tarfile.TarInfo) -> None:
    parts = member.name.split("/")
    if not member.name or member.name.startswith("/") or ".." in parts:
        raise tarfile.ExtractError(f"{member.name!r} lies outside")
    if not (member.isreg() or member.isdir() or member.issym()):
        raise tarfile.ExtractError(f"{member.name} is neither file, folder nor link")


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, place: str) -> None:
    """Make a folder, or a file that is not there, as this user's own and without special bits.

    There is no link yet on the way, so that a name without ".." cannot lead out. tarfile's filter
    for data, which not every Python 3.9 has, refuses the links that an environment needs.
    """
    if member.isdir():
        os.mkdir(place, 0o755)  # noqa: PTH102
        return
    content = tar.extractfile(member)
    assert content is not None  # noqa: S101 - it is a regular file
    with open(place, "xb") as file:  # noqa: PTH123
        shutil.copyfileobj(content, file, 16 * BLOCK)
        file.flush()
        os.fchmod(file.fileno(), member.mode & 0o755 | 0o600)
        os.utime(file.fileno(), (member.mtime, member.mtime))


def _below(folder: Path) -> Iterator[Path]:
    """Yield all below a folder, in the order of their names, each folder before what it holds."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _below(Path(entry.path))


@contextlib.contextmanager
def _compressing(archive: Path) -> Iterator[IO[bytes]]:
    if archive.suffix == ".gz":
        with gzip.open(archive, "wb", compresslevel=1) as file:
            yield file  # type: ignore[misc]
        return
    command = ["zstd", "--quiet", "-3", "-T0", "--force", "-o", str(archive)]
    with _running(command, stdin=subprocess.PIPE) as process:
        yield process.stdin  # type: ignore[misc]
        process.stdin.close()  # type: ignore[union-attr]


@contextlib.contextmanager
def _decompressing(archive: Path) -> Iterator[IO[bytes]]:
    if archive.suffix == ".gz":
        with gzip.open(archive, "rb") as file:
            yield file  # type: ignore[misc]
            while file.read(BLOCK):  # to the end, where its checksum is
                pass
        return
    command = ["zstd", "--quiet", "--decompress", "--stdout", str(archive)]
    with _running(command, stdout=subprocess.PIPE) as process:
        yield process.stdout  # type: ignore[misc]
        while process.stdout.read(BLOCK):  # type: ignore[union-attr]
            pass


@contextlib.contextmanager
def _running(command: list[str], **pipe: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run zstd beside what is done here.

    Raises:
        OSError: if it fails.
    """
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        start_new_session=True,  # no signal of ours cuts it off
        **pipe,  # type: ignore[call-overload]
    )
    try:
        with contextlib.suppress(BrokenPipeError):  # it says itself why it ended
            yield process
        said = process.stderr.read().decode(errors="replace").strip()
        if process.wait():
            raise OSError(f"zstd: {said or process.returncode}")
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
