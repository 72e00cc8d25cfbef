"""The embedded cloud: ``python -m scripts.local.cloud up|down|status|env|mail``.

One cloud per home directory, ``.parris/local`` of the clone unless told otherwise. Everything it
writes lies there; it keeps its resources in memory, so what is down is gone.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from scripts.cli.which_cloud import hint
from scripts.local import daemon, mailbox
from scripts.local.daemon import Cloud, CloudError

__all__ = ["Cloud", "CloudError", "down", "environment", "local_environ", "read_cloud", "up"]

DEFAULT_HOME = daemon.REPOSITORY / ".parris" / "local"
DEFAULT_PORT = 4566
UNSET = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "TF_WORKSPACE",
)
"""Variables that a shell must lose even if this process has none of them."""

_FOREIGN = ("AWS_", "BOTO_")
"""How variables begin that hold a person's real account, or send a call elsewhere than to
AWS_ENDPOINT_URL, as AWS_IGNORE_CONFIGURED_ENDPOINT_URLS, AWS_ENDPOINT_URL_S3, AWS_USE_FIPS_ENDPOINT
do (AWS SDKs and tools reference guide, "Environment variables"). Only ours may stand."""

_LOOPBACK = "127.0.0.1,localhost"


def read_cloud(home: Path = DEFAULT_HOME) -> Cloud | None:
    """Return the cloud that runs in `home`, or None if there is none."""
    cloud = daemon.recorded(home)
    return cloud if cloud is not None and cloud.alive else None


def environment(home: Path = DEFAULT_HOME) -> dict[str, str]:
    """Return the variables that send every AWS client to the cloud in `home`.

    Others must go as well: `local_environ` does both.

    Raises:
        CloudError: if no cloud runs there.
    """
    cloud = read_cloud(home)
    if cloud is None:
        raise CloudError("the embedded cloud is not up; start it with: make local-up")
    return {
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_REGION": cloud.region,
        "AWS_DEFAULT_REGION": cloud.region,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def local_environ(base: Mapping[str, str], home: Path = DEFAULT_HOME) -> dict[str, str]:
    """Return `base` changed so that AWS clients reach the cloud in `home` and nothing else."""
    ours = environment(home)
    kept = {
        name: value
        for name, value in base.items()
        if name not in UNSET and not name.startswith(_FOREIGN)
    }
    return kept | ours | _unproxied(base) | _acting_as(base)


def _unproxied(base: Mapping[str, str]) -> dict[str, str]:
    """Return what keeps calls to loopback from a proxy, in the two spellings that clients read."""
    named = base.get("no_proxy") or base.get("NO_PROXY") or ""
    hosts = "*" if named == "*" else f"{named},{_LOOPBACK}".lstrip(",")
    return {"no_proxy": hosts, "NO_PROXY": hosts}


def _acting_as(base: Mapping[str, str]) -> dict[str, str]:
    """Return the credentials of the embedded cloud's user that `base` names, if it names one.

    By names of their own, so that those of a real account never get here.
    """
    names = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")
    named = {f"AWS_{name}": base.get(f"PARRIS_LOCAL_{name}", "") for name in names}
    return named if all(named.values()) else {}


def up(home: Path = DEFAULT_HOME, port: int = DEFAULT_PORT) -> Cloud:
    """Start the cloud in `home`, or return the one that runs there.

    Args:
        port: of 127.0.0.1; 0 takes a free one.

    Raises:
        CloudError: if the port is taken or the server does not start.
    """
    home = home.resolve()
    with daemon.only_one(home):
        if running := read_cloud(home):
            return running
        daemon.remove_leftovers(home)
        try:
            with daemon.listening(port) as listening:
                cloud = daemon.spawn(home, listening)
            daemon.wait_until_healthy(home, cloud)
        except KeyboardInterrupt:
            daemon.remove_leftovers(home)
            raise
        return cloud


def down(home: Path = DEFAULT_HOME) -> bool:
    """Stop the cloud in `home` and everything it started; return whether one ran."""
    home = home.resolve()
    if not home.is_dir():
        return False
    with daemon.only_one(home):
        cloud = daemon.recorded(home)
        ran = cloud is not None and cloud.alive
        daemon.remove_leftovers(home)
        return ran


def main(argv: list[str] | None = None) -> int:
    """Run one command: 0 done, 1 refused or failed, 2 usage."""
    parser = argparse.ArgumentParser(prog="python -m scripts.local.cloud", description=__doc__)
    parser.add_argument("command", choices=list(_COMMANDS))
    parser.add_argument("--home", type=Path, default=DEFAULT_HOME, help="where its files lie")
    parser.add_argument("--port", default=str(DEFAULT_PORT), help="0 takes a free one")
    arguments = parser.parse_args(argv)
    try:
        return int(_COMMANDS[arguments.command](arguments.home, _port(arguments.port)))
    except CloudError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"error: {error.filename}: {error.strerror}; the embedded cloud keeps its files below "
            f"{arguments.home}, which must be yours to write to, on a disk with room",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the embedded cloud is not up", file=sys.stderr)
        return 130


def _port(text: str) -> int:
    """Return the port that `text` names; `daemon.listening` holds it to its range.

    Raises:
        CloudError: if it is no whole number.
    """
    try:
        return int(text)
    except ValueError:
        raise CloudError(
            f"port {text!r} is not a whole number from 0 to 65535; for one: LOCAL_PORT=4577"
        ) from None


def _up_command(home: Path, port: int) -> int:
    if running := read_cloud(home):
        print(f"The embedded cloud is already up at {running.endpoint}.")
        return 0
    print("Starting the embedded cloud …", flush=True)
    begun = time.monotonic()
    cloud = up(home, port)
    print(f"The embedded cloud is up at {cloud.endpoint} ({time.monotonic() - begun:.1f} s).")
    print(
        "All that it holds is gone when it ends: with make local-down, or this machine.\n"
        "LOCAL=1 turns a command to it, and make local-env prints what an aws CLI needs."
    )
    return 0


def _down_command(home: Path, _port: int) -> int:
    ran = down(home)
    print("The embedded cloud is down." if ran else "The embedded cloud is not up.")
    return 0


def _status_command(home: Path, _port: int) -> int:
    cloud = read_cloud(home)
    if cloud is None:
        print("The embedded cloud is not up.")
        return 1
    print(f"The embedded cloud is up at {cloud.endpoint} since {cloud.started}.")
    return 0


def shell_variables(home: Path = DEFAULT_HOME) -> tuple[dict[str, str], list[str]]:
    """Return what a shell has to set, and what to unset, to reach the cloud in `home`.

    Raises:
        CloudError: if no cloud runs there.
    """
    # LOCAL too: with these variables nothing else would be reached.
    ours = environment(home) | _unproxied(os.environ) | {"LOCAL": "1"}
    lost = os.environ.keys() - local_environ(os.environ, home).keys()
    return ours, sorted(lost.union(UNSET))


def _env_command(home: Path, _port: int) -> int:
    ours, unset = shell_variables(home)
    for name, value in ours.items():
        print(f"export {name}={shlex.quote(value)}")
    print(f"unset {' '.join(unset)}")
    return 0


def _mail_command(home: Path, _port: int) -> int:
    environment(home)  # only for its refusal
    mails = mailbox.read(home)
    for path, text in mails.items():
        print(f"== {path}\n\n{hint(text)}\n")
    if not mails:
        said = (
            "No e-mail yet: each run that starts, ends or is refused sends one to each address in "
            'notification_emails (in terraform.tfvars: notification_emails = ["you@example.org"]; '
            "then make deploy LOCAL=1)."
        )
        print(hint(said))
    return 0


_COMMANDS: dict[str, Callable[[Path, int], int]] = {
    "up": _up_command,
    "down": _down_command,
    "status": _status_command,
    "env": _env_command,
    "mail": _mail_command,
}

if __name__ == "__main__":
    from scripts.cli import console  # it needs boto3, which whoever imports this may not have

    console.run(main)
