"""Print a shell's variables that lead to the embedded cloud: `parris local-env`."""

from __future__ import annotations

from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.local import cloud


def main(argv: list[str]) -> int:
    """Print export lines for the AWS tools of a shell: eval "$(make -s local-env)"."""
    options = parse("local-env", argv)
    status = cloud.main(["env"])
    if options.json and not status:
        ours, unset = cloud.shell_variables()
        console.print_json({"set": ours, "unset": unset})
    return status
