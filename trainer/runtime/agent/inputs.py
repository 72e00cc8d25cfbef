"""What a job has fetched before its trainer starts: data from S3, and secrets."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any, Callable, Optional

from .aws import Answer, Aws
from .limits import PROGRESS_SECONDS, RESTORE_ATTEMPTS, RESTORE_PAUSE_SECONDS
from .restore import RESTORED
from .words import Events, disk_reason, say


class InputError(Exception):
    """Something could not be had; the text says why."""


class Inputs:
    """The fetch of a job's `data` and `secrets`, beside whatever may end the run meanwhile.

    A secret is in the memory of this process and in its trainer's environment, and nowhere else.
    """

    def __init__(
        self, aws: Aws, home: Path, receipt: dict[str, Any], note: Callable[[str], None]
    ) -> None:
        self._aws, self._source, self._note = aws, home / "source", note
        self._data: list[dict[str, str]] = receipt.get("data") or []
        self._references: dict[str, str] = receipt.get("secrets") or {}
        self._given_up = threading.Event()
        self._over = threading.Event()
        self.what = "what the job begins with"
        self.problem = ""
        """Why it failed; "" if it did not."""
        self.told = ""
        """What was fetched; "" if there was no data."""
        self.secrets: dict[str, str] = {}
        """Variables of the trainer's environment."""
        self._thread: Optional[threading.Thread] = None

    @property
    def are_there(self) -> bool:
        return bool(self._data or self._references)

    @property
    def doing(self) -> str:
        return f"the fetch of {self.what}"

    def start(self, events: Events) -> None:
        """Begin to fetch; RESTORED comes when that is over."""

        def fetch() -> None:
            try:
                self._fetch()
            except InputError as error:
                self.problem = str(error)
            except OSError as error:
                self.problem = disk_reason(str(error))
            finally:
                self._over.set()
                events.put(RESTORED)

        self._thread = threading.Thread(target=fetch, daemon=True, name="inputs")
        self._thread.start()

    def give_up(self) -> None:
        """Fetch no more."""
        self._given_up.set()
        if self._thread is not None:
            self._thread.join()

    def put_in_place(self) -> None:
        """Nothing: no data is stored again, so half of it harms nobody."""

    def _fetch(self) -> None:
        self.secrets = {}
        for name, reference in self._references.items():
            self.what = f"the secret {name} ({reference})"
            self.secrets[name] = read_secret(self._aws, reference, self._given_up)
            if self._given_up.is_set():
                return
        began, before = time.monotonic(), free_bytes(self._source)
        threading.Thread(target=self._progress, args=(before,), daemon=True).start()
        for one in self._data:
            self.what = one["s3"]
            self._copy(one["s3"], self._source / one["to"])
            if self._given_up.is_set():
                return
        if self._data:
            size = max(0, before - free_bytes(self._source))
            self.told = (
                f"{', '.join(one['s3'] for one in self._data)}: about {size:,} bytes, fetched in "
                f"{time.monotonic() - began:.1f} s"
            )

    def _progress(self, before: int) -> None:
        began = time.monotonic()
        while not self._over.wait(PROGRESS_SECONDS):
            size = max(0, before - free_bytes(self._source))
            seconds = time.monotonic() - began
            self._note(f"parris: {self.what}: about {size:,} bytes after {seconds:.0f} s")

    def _copy(self, uri: str, target: Path) -> None:
        """Fetch an object, or all below a prefix; what a try before has is not fetched again.

        Raises:
            InputError: if that failed for good, or there is nothing.
        """
        target.mkdir(parents=True, exist_ok=True)
        before = _files(target)
        call = ("s3", "sync" if uri.endswith("/") else "cp", "--only-show-errors")
        for attempt in range(1, RESTORE_ATTEMPTS + 1):
            answer = self._aws.call(
                *call, uri, f"{target}/", timeout=float("inf"), given_up=self._given_up
            )
            if answer.status == 0 or self._given_up.is_set():
                break
            say(f"could not fetch all of {uri}: {answer.said}")
            problem = disk_reason(answer.said)
            if attempt == RESTORE_ATTEMPTS or problem != answer.said or is_final(answer):
                raise InputError(problem + _cure(answer, "s3:// address to", "data_sources"))
            self._given_up.wait(RESTORE_PAUSE_SECONDS)
        # Without a word and with status 0 the aws CLI fetches all of nothing; and what was fetched
        # before, or is the job's own, may lie in the same folder.
        if not self._given_up.is_set() and _files(target) <= before:
            raise InputError("there is nothing")


def _files(folder: Path) -> set[tuple[str, int, int]]:
    """Return the files below a folder, each so that it is another one once it was fetched again."""
    found = set()
    for place, _, names in os.walk(folder):
        for name in names:
            about = os.lstat(f"{place}/{name}")
            found.add((f"{place}/{name}", about.st_ino, about.st_ctime_ns))
    return found


def read_secret(aws: Aws, reference: str, given_up: threading.Event) -> str:
    """Return the secret that a reference of the job names (``secrets`` in run.json).

    Args:
        given_up: it is read no more within a second of this.

    Raises:
        InputError: if it cannot be read, or cannot be a variable of an environment.
    """
    service, _, name = reference.partition(":")
    name, _, key = name.partition("#") if service == "secretsmanager" else (name, "", "")
    command = {
        "ssm": ("ssm", "get-parameter", "--with-decryption", "--name", name),
        "secretsmanager": ("secretsmanager", "get-secret-value", "--secret-id", name),
    }[service]
    answer = aws.call(*command, "--output", "json", given_up=given_up)
    if answer.status:
        raise InputError(answer.said + _cure(answer, "ARN to", "secret_arns"))
    try:
        held = json.loads(answer.output)
        value = held["Parameter"]["Value"] if service == "ssm" else held["SecretString"]
        if key:
            value = json.loads(value)[key]
    except (ValueError, KeyError, TypeError):
        # What was answered is the secret: no word of it is repeated.
        what = f"is no JSON object with the key {key}" if key else "is no text"
        raise InputError(f"what it holds {what}") from None
    text = value if isinstance(value, str) else json.dumps(value)
    if "\0" in text:
        raise InputError("it holds a NUL, which no variable can")
    return text


def is_final(answer: Answer) -> bool:
    """Return whether S3 would answer the same again."""
    return is_denied(answer) or "(404)" in answer.said or "NoSuchBucket" in answer.said


def is_denied(answer: Answer) -> bool:
    return "AccessDenied" in answer.said or "(403)" in answer.said


def _cure(answer: Answer, what: str, variable: str) -> str:
    if not is_denied(answer):
        return ""
    return f"; add its {what} the Terraform variable {variable}, and apply"


def free_bytes(folder: Path) -> int:
    """Return how much the file system of `folder` has room for (statvfs(3))."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
