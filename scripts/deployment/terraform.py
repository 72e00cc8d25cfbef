"""Terraform, called as a person would call it: init that finds its provider, apply, destroy."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import NoCredentialsError

from scripts.cli import console
from scripts.cli.console import Refused
from scripts.cli.which_cloud import LOCAL_HOME, hint, is_local, say_forgotten
from scripts.deployment.outputs import (
    ROOT,
    environment,
    make_client,
    read_outputs,
    state_arguments,
)
from scripts.deployment.terraform_events import Story
from scripts.deployment.terraform_process import run_to_its_end, run_visibly

_IN_JSON = ("-json", "-no-color", "-input=false")  # what it says before it speaks JSON is plain too
_PLAN_HAS_CHANGES = 2
"""Exit status of `terraform plan -detailed-exitcode`."""

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


def is_initialised(environ: Mapping[str, str]) -> bool:
    """Return whether an init has put the provider where terraform looks for it, and locked it."""
    providers = Path(environ.get("TF_DATA_DIR", ROOT / ".terraform")) / "providers"
    return providers.is_dir() and (ROOT / ".terraform.lock.hcl").exists()


def init(environ: dict[str, str]) -> None:
    """Make `terraform` ready: from a mirror on this machine, else from the registry.

    Raises:
        Refused: if neither has the provider, or terraform minds something else.
    """
    mirror = find_mirror()
    attempts = [["terraform", "init", "-input=false", "-no-color"]]
    if mirror is not None:
        attempts.insert(0 if is_local() else 1, [*attempts[0], f"-plugin-dir={mirror}"])
    for command in attempts:
        result = subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False
        )
        if result.returncode == 0:
            return
    detail = "\n".join(result.stderr.strip().splitlines()[-15:])
    if "Failed to query available provider packages" in result.stderr:
        raise Refused(
            "terraform init found the AWS provider neither in the registry nor in a provider "
            f"mirror on this machine\n{detail}"
        )
    raise Refused(f"terraform init failed; its own words:\n{detail}")


def prepare() -> dict[str, str]:
    """Return the environment for terraform.

    Raises:
        Refused: if there is no terraform, or no embedded cloud where LOCAL=1 asks for it.
    """
    if shutil.which("terraform") is None:
        raise Refused(
            "terraform is not on PATH; install version 1.9 or newer "
            "(https://developer.hashicorp.com/terraform/install)"
        )
    return environment()


def local_variables() -> list[str]:
    """Return what the embedded cloud needs said, and no more: all else is as on an account."""
    # The provider waits about a minute for each lifecycle rule, on any endpoint.
    # `-var expire_versions_days=null` would be the string "null"; a file can say null.
    path = LOCAL_HOME / "local.tfvars"
    days = ("abort_uploads", "expire_versions", "expire_events", "expire_setups")
    names = [f"{name}_days" for name in days]
    path.write_text("".join(f"{name} = null\n" for name in names))
    return [f"-var-file={path}"]


def say_where(action: str) -> None:
    """Print the account and region that terraform is about to change.

    Raises:
        Refused: if there is no region, or this clone's deployment is elsewhere; terraform would
            forget that one and build a second.
        NoCredentialsError: if there are no credentials; terraform needs 30 lines to say so.
    """
    session = boto3.Session()
    if session.get_credentials() is None:
        raise NoCredentialsError
    region = session.region_name
    if region is None:
        raise Refused("no AWS region is set; set AWS_REGION, or run aws configure")
    identity = make_client("sts", region).get_caller_identity()
    deployed, _ = read_outputs(os.environ)
    elsewhere = mismatch(deployed, account=identity["Account"], region=region)
    if elsewhere:
        raise Refused(elsewhere)
    say_forgotten(f"AWS account {identity['Account']}, {region}")
    print(f"terraform {action}: account {identity['Account']}, region {region}", flush=True)


def mismatch(deployed: Mapping[str, Any], *, account: str, region: str) -> str:
    """Return why credentials and region are not those of what is deployed, or nothing."""
    there = {"account_id": account, "region": region} | dict(deployed)
    if there["account_id"] != account:
        return (
            f"this clone's deployment is in account {there['account_id']}, these credentials "
            f"are of {account}; set AWS_PROFILE, or use another clone for another deployment"
        )
    if there["region"] != region:
        return (
            f"this clone's deployment is in {there['region']}, the region set is {region}; "
            f"AWS_REGION={there['region']} reaches it; use another clone for another deployment"
        )
    return ""


def main(argv: list[str]) -> int:
    """`init`, `plan`, `apply` or `destroy` the module: what will change, then how far it is."""
    parser = argparse.ArgumentParser(prog="scripts.deployment.terraform", description=main.__doc__)
    parser.add_argument("action", choices=["init", "apply", "plan", "destroy"])
    parser.add_argument("--quiet", action="store_true", help="no summary, only how far it is")
    parser.add_argument("--plan", action="store_true", help="show the whole plan too")
    parser.add_argument("--yes", action="store_true", help="do not ask before applying")
    parser.add_argument("--json", action="store_true", help="answer with what was changed")
    options, more = parser.parse_known_args(argv)  # what it does not know is terraform's
    environ = prepare()
    os.environ.clear()  # for boto3, which looks nowhere else
    os.environ.update(environ)
    # Asked for by name it always runs: a new backend or provider version needs it again.
    if options.action == "init" or not is_initialised(environ):
        init(environ)
    if options.action == "init":
        say_forgotten("AWS")
        print("terraform is ready")
        return 0
    if not is_local():
        say_where(options.action)
    arguments = [*state_arguments(), *(local_variables() if is_local() else []), *more]
    if options.action == "plan":
        return run_visibly(["terraform", "plan", *_plainly(), *arguments], environ)
    started = time.monotonic()
    if options.yes and not options.plan:
        story, status = _apply_at_once(options, environ, arguments)
    else:
        story, status = _ask_and_apply(options, environ, arguments)
    if status or not options.quiet:
        for text in dict.fromkeys(story.complaints):
            print(f"\n{text}", file=sys.stderr)
    if status:
        return console.fail(f"terraform {options.action} failed; its own words are above")
    took = time.monotonic() - started
    print(f"terraform {options.action}: done in {took:.0f} s" if options.quiet else story.ended)
    if options.json:
        console.print_json(story.changes)
    return 0


def flags(options: argparse.Namespace) -> list[str]:
    """Return what `main` is to be told of the options of a verb, ``yes``, ``plan``, ``json``."""
    return [f"--{name}" for name in ("yes", "plan", "json") if getattr(options, name)]


def _plainly() -> list[str]:
    colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return [] if colours else ["-no-color"]  # what is caught and printed again is plain text


def _apply_at_once(
    options: argparse.Namespace, environ: dict[str, str], arguments: list[str]
) -> tuple[Story, int]:
    """Apply or destroy in one call, since nobody is asked."""
    story = Story()
    command = ["terraform", options.action, *_IN_JSON, "-auto-approve", *arguments]

    def on_plan() -> None:
        if not options.quiet:
            print("\n".join(story.describe()), flush=True)

    return story, run_to_its_end(command, environ, story, on_plan)


def _ask_and_apply(
    options: argparse.Namespace, environ: dict[str, str], arguments: list[str]
) -> tuple[Story, int]:
    """Plan, show, ask, and apply exactly that plan.

    Raises:
        Refused: if the answer is not yes, or nobody is there to give it.
    """
    story = Story()
    with tempfile.TemporaryDirectory(prefix="parris-plan-") as folder:
        plan = f"{folder}/plan"
        how = [*_IN_JSON, "-detailed-exitcode", f"-out={plan}"]
        how += ["-destroy"] if options.action == "destroy" else []
        status = run_to_its_end(["terraform", "plan", *how, *arguments], environ, story)
        if status == 0:
            story.ended = "nothing to change: what is deployed is what the files say"
        if status != _PLAN_HAS_CHANGES:
            return story, status
        if options.plan:
            show = ["terraform", "show", *_plainly(), plan]
            run_visibly(show, environ, aside=options.json)
        print("\n".join(story.describe()), flush=True)
        if not options.yes:
            _ask(options.action, shown=options.plan)
        command = ["terraform", "apply", *_IN_JSON, *state_arguments(), plan]
        return story, run_to_its_end(command, environ, story)


def _ask(action: str, *, shown: bool = False) -> None:
    """Ask whether to go on.

    Args:
        shown: whether the whole plan stands above already.

    Raises:
        Refused: if the answer is not yes, or there is no terminal to ask on.
    """
    target = "make destroy" if action == "destroy" else "make deploy"
    if not sys.stdin.isatty():
        raise Refused(
            "nothing was changed: there is no terminal to ask on; "
            f"YES=1 answers beforehand: {target} YES=1"
        )
    unseen = action != "destroy" and not shown
    more = f" ({target} PLAN=1 shows every line of the plan)" if unseen else ""
    if console.answer(hint(f"Do that{more}? Type yes: ")) != "yes":
        raise Refused("nothing was changed")


if __name__ == "__main__":
    os.chdir(ROOT)
    console.run(main)
