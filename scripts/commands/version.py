"""Print which version this is: `parris version`."""

from __future__ import annotations

import subprocess

from parris import __version__
from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.cli.console import Refused
from scripts.deployment.outputs import ROOT, environment, read_outputs


def main(argv: list[str]) -> int:
    """Print the clone's version and commit, and the version that is deployed from it."""
    options = parse("version", argv)
    commit, deployed = _commit(), _deployed()
    print(f"parris {__version__}" + (f" ({commit})" if commit else ""))
    print(f"deployed: {deployed or 'nothing, as far as this clone knows'}")
    if options.json:
        answer = {"version": __version__, "commit": commit, "deployed": deployed}
        console.print_json(answer)
    return 0


def _commit() -> str | None:
    """Return the commit of a clone, marked if files differ from it; None for a download."""
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return None
    return result.stdout.strip() or None


def _deployed() -> str | None:
    """Return the version that Terraform's state says is applied; None where it says nothing."""
    try:
        outputs, _ = read_outputs(environment())
    except (Refused, FileNotFoundError):  # no embedded cloud, no terraform
        return None
    if "deployment" not in outputs:
        return None
    return str(outputs.get("parris_version", "before 0.2.0"))
