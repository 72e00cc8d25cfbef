"""The aws command as a machine of the embedded cloud finds it on its PATH.

Standard library only and run by path: ``python aws_command.py <home> <arguments>``. The aws CLI
takes most of a second of processor time to start, a run starts it a dozen times, and all machines
here share one host. So one process of the cloud has it loaded (aws_cli.py) and forks for each
command. Where nobody listens, or the CLI has files of its own to read, it is started as usual.
"""

from __future__ import annotations

import json
import os
import socket
import sys

SOCKET = "aws.sock"
"""In the cloud's home, and reached from there: such a path has 108 bytes at most (unix(7))."""

LENGTH = 8
"""Bytes of the number that says how long a request is."""


FILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")


def has_files() -> bool:
    """Return whether there is configuration of the CLI, of which what was loaded knows nothing."""
    named = any(os.environ.get(name) != os.devnull for name in FILES)
    home = os.environ.get("HOME", "")
    return named or os.path.lexists(f"{home}/.aws")


def ask(home: str, arguments: list[str]) -> int | None:
    """Return the command's exit status; None if nobody can be asked."""
    here = os.open(".", os.O_RDONLY)
    connection = socket.socket(socket.AF_UNIX)
    try:
        for descriptor in (0, 1, 2):
            os.fstat(descriptor)
        os.chdir(home)
        connection.connect(SOCKET)
    except OSError:
        return None
    finally:
        os.fchdir(here)
    os.umask(mask := os.umask(0o077))
    request = {"arguments": arguments, "environment": dict(os.environ), "umask": mask}
    body = json.dumps(request).encode()
    socket.send_fds(connection, [len(body).to_bytes(LENGTH, "big")], [0, 1, 2, here])
    connection.sendall(body)
    answer = connection.recv(1)
    return answer[0] if answer else 255  # it was killed


def main() -> int:
    """Run one command."""
    status = None if has_files() else ask(sys.argv[1], sys.argv[2:])
    if status is None:
        os.execv(sys.executable, [sys.executable, "-I", "-m", "awscli", *sys.argv[2:]])  # noqa: S606
    return status


if __name__ == "__main__":
    sys.exit(main())
