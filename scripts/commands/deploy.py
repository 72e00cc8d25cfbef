"""Apply the module: `parris deploy`."""

from __future__ import annotations

from scripts import terraform
from scripts.arguments import parse


def main(argv: list[str]) -> int:
    """Run terraform init and apply, which asks first."""
    options = parse("deploy", argv)
    return terraform.main(["apply", *(["--yes"] if options.yes else []), *options.more])
