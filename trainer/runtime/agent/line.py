"""A connection between two nodes of a run, on which both say a line of JSON now and then."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import threading
from typing import Any

from .limits import NODE_SILENT_SECONDS

MAX_LINE = 65536
"""Bytes of a line: a reason, and the addresses of all."""


class Line:
    """A connection, and the lines on it."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(NODE_SILENT_SECONDS)
        self._connection, self._file = connection, connection.makefile("rb")
        self._lock = threading.Lock()

    def say(self, **words: Any) -> None:
        """Send a line; that nobody hears it shows where lines are read."""
        with contextlib.suppress(OSError), self._lock:
            self._connection.sendall(json.dumps(words).encode() + b"\n")

    def hear(self) -> dict[str, Any]:
        """Return the next line.

        Raises:
            OSError: if there is none any more, or none came for NODE_SILENT_SECONDS.
        """
        text = self._file.readline(MAX_LINE)
        if not text.endswith(b"\n"):
            raise ConnectionResetError("its connection has ended")
        try:
            said = json.loads(text)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise ConnectionAbortedError("it says what is no word of a node")
        return said

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._connection.close()


def token() -> str:
    """Return what only the machines of this run know, by the secret name of its log stream."""
    return hashlib.sha256(b"parris-node " + os.environ["PARRIS_LOG_STREAM"].encode()).hexdigest()
