"""Make terraform ready: `parris init`."""

from __future__ import annotations

from scripts.cli.arguments import parse
from scripts.deployment import terraform


def main(argv: list[str]) -> int:
    """Run terraform init, with the registry or a mirror on this machine."""
    parse("init", argv)
    return terraform.main(["init"])
