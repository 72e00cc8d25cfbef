"""What a job's setup script leaves, kept for the job's later runs: it runs once for its inputs.

A machine keeps it in S3, in a folder that is its own to write, and in `setup.json` of its run's
folder it says where. The next run of the job begins with that word, which names the job's own
machines' or nothing: what another job's machine stores, no `setup.json` of this job's names.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from . import archive
from .aws import Answer, Aws
from .inputs import is_final
from .limits import HUNG_SECONDS, RESTORE_ATTEMPTS, RESTORE_PAUSE_SECONDS
from .script import SETUP
from .whole import split_uri
from .words import RunError, say

WORKPLACE = "setup-source"
"""Below the machine's folder: where the setup runs, beside its inputs only."""
NOTED = "setup.json"
"""In a machine's folder: where each setup of the job is kept that is known, by its hash."""
MOST_NOTED = 10
USUAL_INPUTS = ("requirements.txt",)
"""Those of a job that names none, if they are there."""
_KEPT = re.compile(r"setups/[A-Z0-9]+:i-[0-9a-f]+/([0-9a-f]{64})\.tar\.(?:zst|gz)")


class Kept(NamedTuple):
    """A setup in S3."""

    key: str
    folder: str
    """Where it was made, which its scripts may name."""


class Setup:
    """The setup of one run: what it is made of, and what it leaves."""

    def __init__(self, aws: Aws, home: Path, receipt: Mapping[str, Any], own_uri: str) -> None:
        wanted = receipt["setup"]
        self._aws, self._home, self._own_uri = aws, home, own_uri
        self._attempt, self._earlier = receipt.get("attempt", 1), wanted.get("earlier")
        self._before = receipt.get("earlier-attempt")  # of this run, which knows more
        self.script: str = wanted["script"]
        self._inputs: list[str] = wanted.get("inputs") or []
        self.folder, self.workplace = home / SETUP, home / WORKPLACE
        self._bucket = split_uri(own_uri)[0]
        self._noted: dict[str, Kept] = {}
        self.digest = ""
        self.is_there = False
        """Whether what it leaves is there, from an earlier run."""

    def prepare(self, machine: Mapping[str, str]) -> None:
        """Lay out what the script may see, and name it all by one hash.

        Args:
            machine: what else its result depends on, by name.

        Raises:
            RunError: if one of its files is missing.
            OSError: if they cannot be laid out.
        """
        for folder in (self.folder, self.workplace):  # of the machine that its image was made of
            shutil.rmtree(folder, ignore_errors=True)
        source, parts = self._home / "source", []
        for name in self._files():
            (self.workplace / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, self.workplace / name)
            parts.append([name, hashlib.sha256((source / name).read_bytes()).hexdigest()])
        python = {"python": platform.python_version(), "architecture": platform.machine()}
        whole = [self.script, parts, {**python, **machine}]
        self.digest = hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()

    def restore(self, given_up: threading.Event) -> str:
        """Put in place what the same setup has left in an earlier run, if that is to be had.

        Returns:
            What is said of it.
        """
        self._noted = self._read_noted(given_up)
        kept = self._noted.get(self.digest)
        why = "nothing is stored of these inputs"
        if kept is not None:
            packed = self._home / kept.key.rpartition("/")[2]
            try:
                return self._restore(kept, packed, given_up)
            except archive.ERRORS as error:
                why = f"what is stored of them cannot be used ({error})"
                shutil.rmtree(self.folder, ignore_errors=True)
                del self._noted[self.digest]
            finally:
                packed.unlink(missing_ok=True)
        if self._noted and not given_up.is_set():
            self._note(given_up)  # whatever becomes of this run, the next one knows of those
        self.folder.mkdir()
        return f"{self.script} runs: {why}"

    def _restore(self, kept: Kept, packed: Path, given_up: threading.Event) -> str:
        began = time.monotonic()
        answer = self._copy(f"s3://{self._bucket}/{kept.key}", str(packed), given_up)
        if answer.status:
            raise OSError(answer.said)
        fetched, size = time.monotonic(), packed.stat().st_size
        whole = archive.unpack(packed, self.folder, given_up)
        archive.relocate(self.folder, kept.folder)
        unpacked, self.is_there = time.monotonic(), True
        self._note(given_up)
        return (
            f"{self.script} need not run: what it left, {whole}, was restored in "
            f"{unpacked - began:.1f} s: {size:,} bytes fetched in {fetched - began:.1f} s, "
            f"unpacked in {unpacked - fetched:.1f} s"
        )

    def store(self, given_up: threading.Event, seconds: float) -> str:
        """Keep what the script has left for later runs, and return what is said of it.

        Args:
            seconds: how long the script ran.
        """
        said = f"{self.script} ran for {seconds:.1f} s"
        if not any(self.folder.iterdir()):
            return f"{said} and left nothing in PARRIS_SETUP_DIR, so that it runs each time"
        began, packed = time.monotonic(), self._home / f"{self.digest}{archive.suffix()}"
        try:
            whole = archive.pack(self.folder, packed, given_up)
            done, size = time.monotonic(), packed.stat().st_size
            name = self._own_uri.rpartition("/")[2]
            key = f"setups/{name}/{packed.name}"
            answer = self._copy(str(packed), f"s3://{self._bucket}/{key}", given_up)
            if answer.status == 0:
                self._noted[self.digest] = Kept(key, str(self.folder))
                stored = time.monotonic()
                answer = self._note(given_up)
            if answer.status:
                return f"{said}; what it left could not be stored: {answer.said}"
        except OSError as error:  # a full disk, say; the training may still have room
            return f"{said}; what it left could not be stored: {error}"
        finally:
            packed.unlink(missing_ok=True)
        return (
            f"{said}; what it left, {whole}, is stored for later runs: {size:,} bytes, packed in "
            f"{done - began:.1f} s, stored in {stored - done:.1f} s"
        )

    def _files(self) -> list[str]:
        """Return the script and its inputs, each by its path below the job's folder.

        Raises:
            RunError: if one is missing.
        """
        source = self._home / "source"
        names = self._inputs or [name for name in USUAL_INPUTS if (source / name).is_file()]
        found = {self.script}
        for name in names:
            path = source / name
            below = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
            if not below:
                raise RunError(f"setup-inputs: there is no file {name} in the job's folder")
            found |= {str(one.relative_to(source)) for one in below}
        if not (source / self.script).is_file():
            raise RunError(f"setup-script: there is no file {self.script} in the job's folder")
        return sorted(found)

    def _read_noted(self, given_up: threading.Event) -> dict[str, Kept]:
        """Return what the run's machine before this one knows, or else the job's run before."""
        for folder in filter(None, (self._before, self._earlier)):
            uri = f"s3://{self._bucket}/{folder}{NOTED}"
            answer = self._copy(uri, "-", given_up)
            if noted := dict(read_noted(answer.output if answer.status == 0 else b"")):
                return noted
        return {}

    def _note(self, given_up: threading.Event) -> Answer:
        """Store in the machine's folder what is known, the newest of it."""
        newest = list(self._noted.items())[-MOST_NOTED:]
        content = json.dumps({digest: kept._asdict() for digest, kept in newest}).encode()
        answer = self._copy("-", f"{self._own_uri}/{NOTED}", given_up, content)
        if answer.status:
            say(f"could not store {NOTED}: {answer.said}")
        return answer

    def _copy(
        self, source: str, target: str, given_up: threading.Event, content: bytes = b""
    ) -> Answer:
        timeout = HUNG_SECONDS if "-" in (source, target) else float("inf")
        for attempt in range(1, RESTORE_ATTEMPTS + 1):
            call = ("s3", "cp", "--only-show-errors", source, target)
            answer = self._aws.call(*call, stdin=content, timeout=timeout, given_up=given_up)
            over = answer.status == 0 or is_final(answer) or given_up.is_set()
            if over or attempt == RESTORE_ATTEMPTS:
                break
            given_up.wait(RESTORE_PAUSE_SECONDS)
        return answer


def read_noted(content: bytes) -> Iterator[tuple[str, Kept]]:
    """Yield the setups that a `setup.json` names, as far as they are what they should be."""
    noted: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        noted = json.loads(content)
    for digest, kept in noted.items() if isinstance(noted, dict) else ():
        if not isinstance(kept, dict):
            continue
        key, folder = kept.get("key"), kept.get("folder")
        if not isinstance(key, str) or not isinstance(folder, str):
            continue
        found = _KEPT.fullmatch(key)
        if found and found[1] == digest and os.path.isabs(folder):  # noqa: PTH117
            yield digest, Kept(key, folder)
