"""Show what a deploy would change: `parris plan`."""

from __future__ import annotations

from scripts import terraform
from scripts.arguments import parse


def main(argv: list[str]) -> int:
    """Run terraform plan; nothing is changed."""
    return terraform.main(["plan", *parse("plan", argv).more])
