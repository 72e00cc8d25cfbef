"""Show the e-mails of the embedded cloud: `parris local-mail`."""

from __future__ import annotations

from scripts.arguments import parse
from scripts.local import cloud


def main(argv: list[str]) -> int:
    """Print each e-mail that a subscription of the embedded cloud would have got."""
    parse("local-mail", argv)
    return cloud.main(["mail"])
