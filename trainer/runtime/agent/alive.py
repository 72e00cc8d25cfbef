"""The sign of life of a machine whose trainer has begun."""

from __future__ import annotations

import json
import threading
import time
from typing import Optional

from .aws import Aws
from .limits import ALIVE_SECONDS, FAILURE_PAUSE, LAST_SIGN_SECONDS
from .words import iso, say

NAME = "alive.json"


class Alive:
    """`alive.json` in the machine's folder.

    That it is there says that the trainer has begun, and that the folder has all that the run
    goes on from: another machine may go on from here. It is stored anew whenever nothing else was
    for ALIVE_SECONDS. An upload that takes longer than that does not delay it.
    """

    def __init__(self, aws: Aws, uri: str) -> None:
        self._aws, self._target = aws, f"{uri}/{NAME}"
        self._due, self._stored = 0.0, False
        self._over = threading.Event()
        self._beginning = threading.Lock()
        self._thread: Optional[threading.Thread] = None

    def begin(self, attempt: int) -> None:
        """Store it, now and again; once it has begun, this does nothing."""
        # The thread that stores and the one that ends the run may come at once, and a thread that
        # is not started yet cannot be joined.
        with self._beginning:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._keep, args=(attempt,), daemon=True, name="alive"
                )
                self._thread.start()

    def heard(self) -> None:
        """Something else was stored, which is as good a sign."""
        if self._stored:
            self._due = time.monotonic() + ALIVE_SECONDS

    def end(self) -> None:
        """Store it no more; what has begun but is not there yet has LAST_SIGN_SECONDS."""
        self._over.set()
        with self._beginning:
            thread = self._thread
        if thread is not None:
            thread.join(LAST_SIGN_SECONDS)

    def _keep(self, attempt: int) -> None:
        while not (self._stored and self._over.is_set()):
            if not self._over.is_set() and time.monotonic() < self._due:
                self._over.wait(self._due - time.monotonic())
                continue
            last = self._over.is_set()
            self._put(attempt)
            if last:
                return

    def _put(self, attempt: int) -> None:
        content = json.dumps({"attempt": attempt, "time": iso(time.time())}).encode()
        call = ("s3", "cp", "--only-show-errors", "-", self._target)
        answer = self._aws.call(*call, stdin=content)
        if answer.status == 0:
            self._stored = True
            self._due = time.monotonic() + ALIVE_SECONDS
        else:
            say(f"could not store {NAME}: {answer.said}")
            self._due = time.monotonic() + FAILURE_PAUSE
