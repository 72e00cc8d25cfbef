"""Print a shell's variables that lead to the embedded cloud: `parris local-env`."""

from __future__ import annotations

from scripts.arguments import parse
from scripts.local import cloud


def main(argv: list[str]) -> int:
    """Print export lines for the AWS tools of a shell: eval "$(make -s local-env)"."""
    parse("local-env", argv)
    return cloud.main(["env"])
