"""Make terraform ready: `parris init`."""

from __future__ import annotations

from scripts import terraform
from scripts.arguments import parse


def main(argv: list[str]) -> int:
    """Run terraform init, with the registry or a mirror on this machine."""
    parse("init", argv)
    return terraform.main(["init"])
