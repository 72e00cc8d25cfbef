"""Apply the module: `parris deploy`."""

from __future__ import annotations

from scripts import terraform
from scripts.arguments import parse


def main(argv: list[str]) -> int:
    """Run terraform init and apply; it shows what will change and asks first."""
    options = parse("deploy", argv)
    return terraform.main(["apply", *terraform.flags(options), *options.more])
