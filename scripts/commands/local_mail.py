"""Show the e-mails of the embedded cloud: `parris local-mail`."""

from __future__ import annotations

from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.local import cloud, mailbox


def main(argv: list[str]) -> int:
    """Print each e-mail that a subscription of the embedded cloud would have got."""
    options = parse("local-mail", argv)
    status = cloud.main(["mail"])
    if options.json and not status:
        mails = mailbox.read(cloud.DEFAULT_HOME)
        console.print_json([{"file": str(path), "mail": mail} for path, mail in mails.items()])
    return status
