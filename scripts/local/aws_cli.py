"""The process that has the aws CLI loaded, and forks for each command of a machine.

Started by server.py as ``python -m scripts.local.aws_cli <home>``. It ends with its standard
input, which is the cloud's to close. A command runs with the descriptors, the folder and the
environment of the process that asks (aws_command.py), and is killed when that one is gone.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from scripts.local.aws_command import FILES, LENGTH, SOCKET

_WARM = ("s3", "logs")
"""Services of whom the agent calls most: their models are read once."""


def start(home: Path) -> subprocess.Popen[bytes]:
    """Start the process; it ends when its standard input is closed, by whatever end of this one."""
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.local.aws_cli", str(home)], stdin=subprocess.PIPE
    )


def load() -> Any:
    """Return the CLI's driver, with all that does not depend on whose command it is."""
    os.environ |= dict.fromkeys(FILES, os.devnull)
    from awscli.clidriver import create_clidriver

    driver = create_clidriver()
    driver._get_command_table()
    for service in _WARM:
        driver.session.create_client(
            service,
            region_name="us-east-1",
            aws_access_key_id="nobody",
            aws_secret_access_key="nobody",  # noqa: S106
        )
    return driver


def serve(home: Path) -> None:
    """Fork for every command until standard input ends."""
    os.chdir(home)
    driver = load()
    gc.collect()
    gc.freeze()  # else the first collection of every child copies all of it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are nobody's to wait for
    Path(SOCKET).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening, selectors.DefaultSelector() as ready:
        listening.bind(SOCKET)
        listening.listen(100)
        ready.register(0, selectors.EVENT_READ)
        ready.register(listening, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fd == 0:
                    return
                connection, _ = listening.accept()
                if os.fork() == 0:
                    listening.close()
                    _be(connection, driver)
                connection.close()


def _be(connection: socket.socket, driver: Any) -> None:
    """Be the command that `connection` asks for, and end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    header, descriptors, _, _ = socket.recv_fds(connection, LENGTH, 4)
    left, body = int.from_bytes(header, "big"), b""
    while len(body) < left:
        body += connection.recv(left - len(body))
    request = json.loads(body)
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    os.fchdir(descriptors[3])
    for descriptor in descriptors:
        os.close(descriptor)
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
    status = _run(driver, request["arguments"])
    with contextlib.suppress(OSError):
        connection.send(bytes([status]))
    os._exit(0)


def _run(driver: Any, arguments: list[str]) -> int:
    """Return the exit status of a command."""
    sys.argv = ["aws", *arguments]
    try:
        status = driver.main(arguments)
        sys.stdout.flush()
    except SystemExit as exit_:
        status = exit_.code
    except BrokenPipeError:
        status = 255
    return status if isinstance(status, int) else int(status is not None)


def _end_with(connection: socket.socket) -> None:
    """Wait until whoever asked is gone, then end: nobody is left to see more."""
    with contextlib.suppress(OSError):
        connection.recv(1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
