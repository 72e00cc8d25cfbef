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
import traceback
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from scripts.local.aws_command import FILES, LENGTH, SOCKET, TAKEN

REPOSITORY = Path(__file__).resolve().parents[2]

_WARM = ("s3", "logs")
"""Services of whom the agent calls most: their models are read once."""


def start(home: Path) -> subprocess.Popen[bytes]:
    """Start the process; it ends when its standard input is closed, by whatever end of this one.

    Its environment has nothing of a person's: the CLI looks into HOME as it is loaded. It has a
    session of its own, so that a hundred commands at once leave the cloud its share of the
    processors (sched(7), "The autogroup feature").
    """
    environ = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "LC_ALL": "C.UTF-8"}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "scripts.local.aws_cli", str(home)],
        stdin=subprocess.PIPE,
        cwd=REPOSITORY,
        env=environ | {"PYTHONPATH": str(REPOSITORY)},
        start_new_session=True,
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
                try:
                    with listening.accept()[0] as connection:
                        if os.fork() == 0:
                            listening.close()
                            _be(connection, driver)
                except OSError as error:  # too many processes or files: whoever asks helps himself
                    print(f"aws_cli: {error}", file=sys.stderr, flush=True)
                    time.sleep(0.1)


def _be(connection: socket.socket, driver: Any) -> NoReturn:
    """Be the command that `connection` asks for, and end."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, _interrupt)
        arguments = _become(connection)
        connection.send(TAKEN)
        threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
        connection.send(bytes([_run(driver, arguments)]))
    except OSError:
        pass  # whoever asked is gone
    except Exception:  # noqa: BLE001 - a process that ends by os._exit tells of nothing itself
        traceback.print_exc()
    finally:
        os._exit(0)


def _become(connection: socket.socket) -> list[str]:
    """Take on what the process that asks has, and return its arguments.

    Raises:
        ConnectionError: if it died in the middle.
    """
    header, descriptors, _, _ = socket.recv_fds(connection, LENGTH, 4, socket.MSG_WAITALL)
    if len(header) < LENGTH or len(descriptors) < 4:
        raise ConnectionError
    left, body = int.from_bytes(header, "big"), b""
    while len(body) < left:
        if not (part := connection.recv(left - len(body))):
            raise ConnectionError
        body += part
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
    arguments: list[str] = request["arguments"]
    return arguments


def _run(driver: Any, arguments: list[str]) -> int:
    """Return the exit status of a command, all that it says being out."""
    sys.argv = ["aws", *arguments]
    try:
        try:
            status = driver.main(arguments)
        except SystemExit as exit_:
            status = exit_.code
        if isinstance(status, str):
            print(status, file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        status = 255
    return status & 0xFF if isinstance(status, int) else int(status is not None)


_interrupted = threading.Event()
_TIMES = 50
"""How often a Ctrl-C is sent to a command that does not hear it."""


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Interrupt the command, once for each Ctrl-C."""
    if not _interrupted.is_set():
        _interrupted.set()
        signal.default_int_handler(number, frame)


def _end_with(connection: socket.socket) -> None:
    """End when whoever asked is gone, which nobody is left to see; until then hand Ctrl-C on.

    A signal that comes just before a thread begins to wait does not wake it, so it is sent again.
    """
    with contextlib.suppress(OSError):
        while connection.recv(1):
            _interrupted.clear()
            for _ in range(_TIMES):
                os.kill(os.getpid(), signal.SIGINT)
                if _interrupted.wait(0.1):
                    break
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
