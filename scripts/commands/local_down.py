"""Stop the embedded cloud: `parris local-down`."""

from __future__ import annotations

from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.local import cloud


def main(argv: list[str]) -> int:
    """Stop the embedded cloud of this clone and all it runs."""
    options = parse("local-down", argv)
    was_up = cloud.read_cloud() is not None
    status = cloud.main(["down"])
    if options.json:
        console.print_json({"was-up": was_up})
    return status
