"""The hardware under one instance: a directory, an init process, a metadata endpoint.

Stands in for what EC2 does when it starts, powers off and drops a virtual machine ("Instance
lifecycle", EC2 user guide). Knows nothing of the EC2 API: instances.py does.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scripts.local import guest_faults, processes

REPOSITORY = Path(__file__).resolve().parents[2]

_POWER_COMMANDS = ("shutdown", "poweroff", "halt", "reboot", "systemctl")

_SUDO = """#!/bin/sh
# Everyone is root on this machine: drop sudo's own options and run the command.
while [ $# -gt 0 ]; do
  case "$1" in
    -u | -g | --user | --group) shift 2 ;;
    --) shift; break ;;
    -*) shift ;;
    *=*) export "$1"; shift ;;
    *) break ;;
  esac
done
exec "$@"
"""

_MODULES = {"aws": "awscli", "pip": "pip", "pip3": "pip"}
"""Commands of the environment, by the module that is one. Their own files begin with a line `#!`
that names the interpreter's place then: void in a clone that was renamed or whose path has a space.
"""

_PLAIN_PATH = re.compile(r"[\w./+@=-]+", re.ASCII)
"""Paths that a shell takes for one word, quoted or not, as /var/lib/parris on a real machine."""

_PASSED_ON = ("SSL_CERT_", "PIP_", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


@dataclass
class Machine:
    """A running machine; `off` is set once nothing of it runs any more."""

    instance_id: str
    directory: Path
    init: subprocess.Popen[bytes]
    link: Path | None = None
    off: threading.Event = field(default_factory=threading.Event)

    def press_power_button(self, patience: float) -> None:
        """Ask the guest to power off; whoever still runs after `patience` seconds is killed."""
        assert self.init.stdin is not None  # noqa: S101  # opened so below
        try:
            self.init.stdin.write(f"power-button {patience}\n".encode())
            self.init.stdin.flush()
        except (BrokenPipeError, ValueError):  # it has just powered off by itself
            return

    def wait_until_off(self) -> None:
        """Wait for the guest's power-off, and let nothing survive it."""
        self.init.wait()
        processes.kill_until_gone(lambda: processes.of_instance(self.instance_id))
        if self.link is not None:
            self.link.unlink(missing_ok=True)
        if self.init.stdin is not None:
            # It may have gone while the power button was being pressed.
            with contextlib.suppress(BrokenPipeError):
                self.init.stdin.close()

    def drop_disk(self) -> None:
        """Delete the machine's files, as its volumes go; the console's text stays readable."""
        for entry in self.directory.iterdir():
            if entry.name == "console.log":
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def start(
    instance_id: str,
    directory: Path,
    *,
    user_data: bytes | None,
    metadata_endpoint: str,
    endpoint: str,
    faults: Collection[str] = (),
    base: Mapping[str, str] = os.environ,
) -> Machine:
    """Start a machine in `directory`.

    Args:
        user_data: run at this boot; None for any boot but the first.
        metadata_endpoint: URL of the machine's own metadata service.
        endpoint: URL of the cloud, for the aws CLI and SDKs on the machine.
        faults: what is wrong with the machine (faults.py).
        base: where certificate, pip and proxy settings are taken from.
    """
    for name in ("bin", "parris", "root", "tmp"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    link = plain_path(instance_id, directory)
    seen = link or directory
    initctl = directory / "initctl"
    initctl.unlink(missing_ok=True)
    os.mkfifo(initctl, 0o600)
    _write_commands(directory / "bin", initctl, powerless="no-shutdown" in faults)
    if not any(fault.startswith("disk-full") for fault in faults):  # nobody else sees its files
        _write_aws(directory)
    if user_data and "user-data-dies" in faults:
        user_data = guest_faults.user_data(user_data)
    (directory / "user-data").write_bytes(user_data or b"")
    environment = {
        name: value
        for name, value in base.items()
        if name.startswith(_PASSED_ON) or name.lower() in _PROXIES
    }
    environment |= {
        processes.MARKER: instance_id,
        "PATH": ":".join(
            [
                str(seen / "bin"),
                str(Path(sys.executable).parent),
                "/usr/local/bin:/usr/bin:/bin",
            ]
        ),
        "LANG": "C.UTF-8",
        "HOME": str(seen / "root"),
        "TMPDIR": str(seen / "tmp"),
        "PARRIS_HOME": str(seen / "parris"),
        "AWS_ENDPOINT_URL": guest_faults.NOBODY if "no-endpoint" in faults else endpoint,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata_endpoint,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    if "no-sts" in faults:
        environment["AWS_ENDPOINT_URL_STS"] = guest_faults.NOBODY
    if patience := base.get("PARRIS_LOCAL_STOP_SECONDS"):
        environment["PARRIS_LOCAL_STOP_SECONDS"] = patience
    argv = [sys.executable, "-m", "scripts.local.guest", str(directory), instance_id]
    if user_data is not None:
        argv.append("first-boot")
    if "no-machine" in faults:
        (directory / "metadata-endpoint").write_text(metadata_endpoint)
        (directory / "off").unlink(missing_ok=True)
        argv = [sys.executable, "-m", "scripts.local.no_machine", str(directory)]
    with (directory / "console.log").open("ab") as console:
        init = subprocess.Popen(
            guest_faults.on_small_disk(argv, directory, faults),
            stdin=subprocess.PIPE,
            stdout=console,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
            env=environment,
            start_new_session=True,
        )
    return Machine(instance_id, directory, init, link)


def link_of(instance_id: str) -> Path:
    """Return where a machine's directory is seen if its own path is not plain."""
    return Path("/tmp") / f"parris-{instance_id}"  # noqa: S108 - TMPDIR may have spaces itself


def plain_path(instance_id: str, directory: Path) -> Path | None:
    """Return a link to `directory` if a shell could take its path for several words, else None.

    A trainer writes to ``$PARRIS_OUTPUT_DIR/x``, often without quotes, which is right on a real
    machine and has to be here, in whatever folder the clone lies.
    """
    if _PLAIN_PATH.fullmatch(str(directory)):
        return None
    link = link_of(instance_id)
    link.symlink_to(directory)
    return link


def _write_commands(directory: Path, initctl: Path, *, powerless: bool) -> None:
    """Put the power commands, bound to this machine's init, and the aws CLI on the machine."""
    commands = Path(__file__).with_name("commands.py")
    for name in (*_POWER_COMMANDS, "systemd-run"):
        path = directory / name
        words = [_quoted(sys.executable), "-I", _quoted(commands), _quoted(initctl), name]
        path.write_text(f'#!/bin/sh\nexec {" ".join(words)} "$@"\n')
        if powerless and name in _POWER_COMMANDS:
            guest_faults.write_sham(path)
        path.chmod(0o755)
    for name, module in _MODULES.items():
        words = [_quoted(sys.executable), "-I", "-m", module]
        (directory / name).write_text(f'#!/bin/sh\nexec {" ".join(words)} "$@"\n')
        (directory / name).chmod(0o755)
    (directory / "sudo").write_text(_SUDO)
    (directory / "sudo").chmod(0o755)


def _write_aws(directory: Path) -> None:
    """Let the machine's aws CLI be a fork of the cloud's, which starts much faster."""
    client, home = Path(__file__).with_name("aws_command.py"), directory.parent.parent
    words = [_quoted(sys.executable), "-IS", _quoted(client), _quoted(home)]
    (directory / "bin" / "aws").write_text(f'#!/bin/sh\nexec {" ".join(words)} "$@"\n')


def _quoted(path: str | Path) -> str:
    return shlex.quote(str(path))
