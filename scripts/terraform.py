"""Terraform, called as a person would call it: init that finds its provider, apply, destroy."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from scripts import console
from scripts.console import Refused
from scripts.deployment import LOCAL_HOME, ROOT, environment, is_local, state_arguments

PROVIDER = Path("registry.terraform.io/hashicorp/aws")


def find_mirror() -> Path | None:
    """Return an unpacked provider mirror, in Terraform's implied places and below /opt.

    The places are those of Terraform's CLI documentation, "Implied Local Mirror Directories".
    """
    home = Path.home()
    places = [
        ROOT / "terraform.d" / "plugins",
        home / ".terraform.d" / "plugins",
        home / ".local" / "share" / "terraform" / "plugins",
        Path("/usr/local/share/terraform/plugins"),
        Path("/usr/share/terraform/plugins"),
        *sorted(Path("/opt").glob("*")),
        *sorted(Path("/opt").glob("*/*")),
    ]
    return next((place for place in places if (place / PROVIDER).is_dir()), None)


def init(environ: dict[str, str]) -> None:
    """Make `terraform` ready: from a mirror on this machine, else from the registry.

    Raises:
        Refused: if neither has the provider.
    """
    if (Path(environ.get("TF_DATA_DIR", ROOT / ".terraform")) / "providers").is_dir():
        return
    mirror = find_mirror()
    attempts = [["terraform", "init", "-input=false"]]
    if mirror is not None:
        attempts.insert(0 if is_local() else 1, [*attempts[0], f"-plugin-dir={mirror}"])
    for command in attempts:
        result = subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False
        )
        if result.returncode == 0:
            return
    detail = "\n".join(result.stderr.strip().splitlines()[-15:])
    raise Refused(
        "terraform init found the AWS provider neither in the registry nor in a provider mirror "
        f"on this machine\n{detail}"
    )


def prepare() -> dict[str, str]:
    """Return the environment for terraform, after init."""
    if shutil.which("terraform") is None:
        raise Refused(
            "terraform is not on PATH; install version 1.9 or newer "
            "(https://developer.hashicorp.com/terraform/install)"
        )
    environ = environment()
    init(environ)
    return environ


def local_variables() -> list[str]:
    """Return what the embedded cloud needs said: it is thrown away, so destroy may empty it."""
    # The provider waits about a minute for each lifecycle rule, on any endpoint.
    return ["-var=force_destroy=true", f"-var-file={_no_expiry()}"]


def _no_expiry() -> Path:
    # `-var expire_versions_days=null` would be the string "null"; a file can say null.
    path = LOCAL_HOME / "local.tfvars"
    path.write_text("expire_versions_days = null\n")
    return path


def main(argv: list[str]) -> int:
    """`init`, `apply` or `destroy` the module, with Terraform's own output and questions."""
    parser = argparse.ArgumentParser(prog="scripts.terraform", description=main.__doc__)
    parser.add_argument("action", choices=["init", "apply", "plan", "destroy"])
    parser.add_argument(
        "--quiet", action="store_true", help="show terraform's output only if it fails"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before applying")
    options, more = parser.parse_known_args(argv)  # what it does not know is terraform's
    environ = prepare()
    if options.action == "init":
        print("terraform is ready")
        return 0
    command = ["terraform", options.action, *state_arguments()]
    if is_local():
        command += local_variables()
    if options.yes and options.action != "plan":
        command.append("-auto-approve")
    command += more
    started = time.monotonic()
    result = subprocess.run(
        command,
        cwd=ROOT,
        env=environ,
        check=False,
        stdout=subprocess.PIPE if options.quiet else None,
        stderr=subprocess.STDOUT if options.quiet else None,
        text=True,
    )
    if result.returncode and options.quiet:
        print(result.stdout, file=sys.stderr)
    if result.returncode:
        return console.fail(f"terraform {options.action} failed; its own words are above")
    if options.quiet:
        print(f"terraform {options.action}: done in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    os.chdir(ROOT)
    console.run(main)
