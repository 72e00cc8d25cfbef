"""Apply the module: `parris deploy`."""

from __future__ import annotations

from scripts.cli.arguments import parse
from scripts.deployment import terraform


def main(argv: list[str]) -> int:
    """Run terraform init and apply; it shows what will change and asks first."""
    options = parse("deploy", argv)
    return terraform.main(["apply", *terraform.flags(options), *options.more])
