"""The aws CLI that is loaded once: what a command of a machine sees of it, and that it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.local import aws_cli, aws_command, processes
from tests.e2e.embedded_world import eventually

PLAIN = (sys.executable, "-I", "-m", "awscli")
COMMANDS = (
    ("--version",),
    ("s3", "cp"),
    ("s3api", "no-such-operation"),
    ("configure", "list"),
    ("s3", "ls", "s3://bucket/", "--no-sign-request", "--endpoint-url", "http://127.0.0.1:9"),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose path is longer than a socket's may be."""
    folder = tmp_path_factory.mktemp("h" * 100)
    with aws_cli.start(folder):
        eventually((folder / aws_command.SOCKET).exists, "its socket")
        yield folder


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    empty = dict.fromkeys(aws_command.FILES, os.devnull)
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_MAX_ATTEMPTS": "1", **empty}


def command(home: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-IS", aws_command.__file__, str(home), *arguments]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_command_says_and_returns_what_it_does_alone(
    home: Path, environ: dict[str, str], arguments: tuple[str, ...]
) -> None:
    said = [
        subprocess.run(argv, env=environ, capture_output=True, check=False)
        for argv in (command(home, *arguments), [*PLAIN, *arguments])
    ]
    forked, alone = ((each.returncode, each.stdout, each.stderr) for each in said)
    assert forked == (alone[0], alone[1], alone[2].replace(b"__main__.py: ", b"aws: "))


def test_a_command_has_its_own_folder_and_standard_input(
    home: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    """A file named by `file://` lies in the caller's folder; `-` is the caller's standard input."""
    (tmp_path / "list.json").write_text("{")
    argv = command(home, "s3api", "put-bucket-tagging", "--bucket", "b", "--tagging")
    answer = subprocess.run(
        [*argv, "file://list.json"], cwd=tmp_path, env=environ, capture_output=True, check=False
    )
    assert b"Invalid JSON" in answer.stderr
    argv = command(home, "s3", "cp", "-", "s3://b/k", "--endpoint-url", "http://127.0.0.1:9")
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}
    answer = subprocess.run(argv, env=environ | keys, input=b"x", capture_output=True, check=False)
    assert b"upload failed: - to s3://b/k" in answer.stderr


def test_a_configuration_is_read(home: Path, environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default]\nregion = eu-north-1\n")
    environ["AWS_CONFIG_FILE"] = str(tmp_path / "config")
    argv = command(home, "configure", "get", "region")
    answer = subprocess.run(argv, env=environ, capture_output=True, check=False)
    assert answer.stdout == b"eu-north-1\n"


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, -15), (signal.SIGKILL, -9), (signal.SIGINT, 130)],
    ids=["SIGTERM", "SIGKILL", "Ctrl-C"],
)
def test_a_command_whose_caller_is_ended_is_over(
    home: Path, environ: dict[str, str], number: signal.Signals, status: int
) -> None:
    with socket.socket() as deaf:  # takes the request, and never answers
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        endpoint = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        argv = command(home, "s3", "ls", "--no-sign-request", "--endpoint-url", endpoint)
        caller = subprocess.Popen(
            argv,
            env=environ | {"AWS_REGION": "us-east-1"},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        connection, _ = deaf.accept()
        before = _children(home)
        assert before
        caller.send_signal(number)
        assert caller.wait() == status
        eventually(lambda: not _children(home), "its end", 10)
        connection.close()


def test_a_ctrl_c_that_comes_before_the_command_waits_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[int] = []
    real = os.kill

    def kill(process: int, number: int) -> None:
        sent.append(number)
        if sent.count(signal.SIGINT) > 1 and number == signal.SIGINT:  # the first one is missed
            real(process, number)

    monkeypatch.setattr(os, "kill", kill)
    before = signal.signal(signal.SIGINT, aws_cli._interrupt)
    ours, theirs = socket.socketpair()
    handing_on = threading.Thread(target=aws_cli._end_with, args=(theirs,))
    handing_on.start()
    try:
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            ours.send(b"i")
            time.sleep(5)
    finally:
        ours.close()
        handing_on.join()
        signal.signal(signal.SIGINT, before)
        theirs.close()
    assert sent[:2] == [signal.SIGINT, signal.SIGINT]
    assert sent[-1] == signal.SIGKILL


def test_a_caller_that_dies_while_it_asks_leaves_nothing(home: Path) -> None:
    here = os.open(".", os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as connection:
        os.chdir(home)
        connection.connect(aws_command.SOCKET)
        os.fchdir(here)
        header = (1000).to_bytes(aws_command.LENGTH, "big")
        socket.send_fds(connection, [header], [here, here, here, here])
        eventually(lambda: _children(home), "a fork that waits for the request")
    os.close(here)
    eventually(lambda: not _children(home), "its end")


def test_a_closed_standard_input_is_no_folder(home: Path, environ: dict[str, str]) -> None:
    argv = command(home, "s3", "cp", "-", "s3://b/k", "--no-sign-request")
    argv += ["--endpoint-url", "http://127.0.0.1:9"]
    answer = subprocess.run(
        ["bash", "-c", 'exec "$@" <&-', "bash", *argv],
        env=environ,
        capture_output=True,
        check=False,
    )
    assert answer.returncode
    assert b"directory" not in answer.stderr


def test_a_persons_own_aliases_are_not_a_machines(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "person/.aws/cli").mkdir(parents=True)
    (tmp_path / "person/.aws/cli/alias").write_text("[toplevel]\nsts = !echo aliased\n")
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    with aws_cli.start(tmp_path):
        eventually((tmp_path / aws_command.SOCKET).exists, "its socket")
        argv = command(tmp_path, "sts", "get-caller-identity")
        answer = subprocess.run(argv, env=environ, capture_output=True, check=False)
    assert b"aliased" not in answer.stdout


def test_without_the_process_a_command_starts_as_usual(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    argv = command(tmp_path, "--version")
    answer = subprocess.run(argv, env=environ, capture_output=True, check=False)
    assert answer.stdout.startswith(b"aws-cli/")


def test_it_ends_with_the_cloud(tmp_path: Path) -> None:
    loaded = aws_cli.start(tmp_path)
    eventually((tmp_path / aws_command.SOCKET).exists, "its socket")
    assert loaded.stdin is not None
    loaded.stdin.close()
    assert loaded.wait(10) == 0


def _children(home: Path) -> set[int]:
    """Return the commands that are under way: forks of the process whose folder `home` is."""
    parents = processes.parents_of_all()
    return {
        pid
        for pid, parent in parents.items()
        if _folder(parent) == home and _words(parent) == _words(pid)
    }


def _folder(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None


def _words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_the_time_of_a_start(home: Path, environ: dict[str, str]) -> None:
    """It is there for its speed: ten starts take less than two of the usual kind."""

    def seconds(argv: list[str]) -> float:
        began = time.monotonic()
        subprocess.run(argv, env=environ, capture_output=True, check=False)
        return time.monotonic() - began

    ls = ("configure", "list")
    forked = sum(seconds(command(home, *ls)) for _ in range(10))
    assert forked < sum(seconds([*PLAIN, *ls]) for _ in range(4))
