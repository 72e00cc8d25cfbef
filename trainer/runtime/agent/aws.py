"""The aws CLI, which is all of AWS that an image needs to have."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from typing import NamedTuple, Optional

from .limits import CALL_ATTEMPTS, CONNECT_SECONDS, HUNG_SECONDS, READ_SECONDS


class Answer(NamedTuple):
    """What a call of the aws CLI came to: its exit status, the last line it printed, its output."""

    status: int
    said: str
    output: bytes = b""
    errors: str = ""

    @property
    def skipped_files(self) -> bool:
        """Whether all but some unreadable files were stored (AWS CLI user guide, "return codes":
        2 is also a usage error). They are not worth trying again for."""
        return self.status == 2 and "skipping" in self.said.lower()


class Aws:
    """The aws CLI; each call in a session of its own, so that no signal of ours cuts it off."""

    def call(
        self,
        *arguments: str,
        stdin: bytes = b"",
        timeout: float = HUNG_SECONDS,
        given_up: Optional[threading.Event] = None,
    ) -> Answer:
        """Run one command.

        It ends by itself within HUNG_SECONDS when nobody answers, however long it may take when
        somebody does.

        Args:
            timeout: seconds; then it is killed.
            given_up: it is killed within a second of this.
        """
        limits = ("--cli-connect-timeout", str(CONNECT_SECONDS))
        try:
            process = subprocess.Popen(
                ["aws", *limits, "--cli-read-timeout", str(READ_SECONDS), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "AWS_MAX_ATTEMPTS": str(CALL_ATTEMPTS)},
                start_new_session=True,
            )
        except OSError as error:
            return Answer(127, str(error))
        until = time.monotonic() + max(timeout, 1)
        sent: Optional[bytes] = stdin
        while True:
            left = until - time.monotonic()
            try:
                output, errors = process.communicate(
                    sent, timeout=min(left, 1) if given_up else left
                )
                break
            except subprocess.TimeoutExpired:
                sent = None  # it has been taken already (subprocess, Popen.communicate)
                stopped = given_up is not None and given_up.is_set()
                if time.monotonic() < until and not stopped:
                    continue
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            why = "was given up" if stopped else f"took longer than {timeout:.0f} s"
            return Answer(-signal.SIGKILL, why)
        lines = (output + errors).decode(errors="replace").strip().splitlines()
        said = lines[-1] if lines else f"status {process.returncode}"
        return Answer(process.returncode, said, output, errors.decode(errors="replace"))
