"""The aws command as a machine of the embedded cloud finds it on its PATH.

Standard library only and run by path: ``python aws_command.py <home> <arguments>``. The aws CLI
takes most of a second of processor time to start, a run starts it a dozen times, and all machines
here share one host. So one process of the cloud has it loaded (aws_cli.py) and forks for each
command. Where nobody takes it on, or the CLI has files of its own to read, it is started as usual.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys

SOCKET = "aws.sock"
"""In the cloud's home, and reached from there: such a path has 108 bytes at most (unix(7))."""

LENGTH = 8
"""Bytes of the number that says how long a request is."""

TAKEN = b"t"
"""The first byte of an answer: from here on the command is under way. Its status is the second."""

FILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")

_LOST = 255


def has_files() -> bool:
    """Return whether there is configuration of the CLI, of which what was loaded knows nothing."""
    named = any(os.environ.get(name) != os.devnull for name in FILES)
    home = os.environ.get("HOME", "")
    return named or os.path.lexists(f"{home}/.aws")


def ask(home: str, arguments: list[str]) -> int | None:
    """Return the command's exit status; None if nobody has begun with it."""
    try:
        for descriptor in (0, 1, 2):  # before anything else can take the number of a closed one
            os.fstat(descriptor)
        connection = socket.socket(socket.AF_UNIX)
        _send(connection, home, arguments)
        if connection.recv(1) != TAKEN:
            return None
    except OSError:
        return None
    while True:
        try:
            answer = connection.recv(1)
        except KeyboardInterrupt:
            with contextlib.suppress(OSError):
                connection.send(b"i")  # it cleans up after itself, as it does on Ctrl-C
        except OSError:
            return _LOST
        else:
            return answer[0] if answer else _LOST


def _send(connection: socket.socket, home: str, arguments: list[str]) -> None:
    """Hand the command over, with all that it would have of this process.

    Raises:
        OSError: if there is nobody.
    """
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(home)
        connection.connect(SOCKET)
    finally:
        os.fchdir(here)
    os.umask(mask := os.umask(0o077))
    request = {"arguments": arguments, "environment": dict(os.environ), "umask": mask}
    body = json.dumps(request).encode()
    socket.send_fds(connection, [len(body).to_bytes(LENGTH, "big")], [0, 1, 2, here])
    connection.sendall(body)


def main() -> int:
    """Run one command."""
    status = None if has_files() else ask(sys.argv[1], sys.argv[2:])
    if status is None:
        os.execv(sys.executable, [sys.executable, "-I", "-m", "awscli", *sys.argv[2:]])  # noqa: S606
    return status


if __name__ == "__main__":
    sys.exit(main())
