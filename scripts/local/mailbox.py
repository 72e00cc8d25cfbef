"""What the embedded cloud would have sent by e-mail: a file for each message, in its home."""

from __future__ import annotations

from email.message import EmailMessage
from email.policy import SMTPUTF8
from pathlib import Path

_POLICY = SMTPUTF8.clone(cte_type="8bit", linesep="\n")


def mailbox(home: Path) -> Path:
    """Return where the messages of the cloud in `home` lie."""
    return home / "mail"


def deliver(home: Path, mail: EmailMessage, name: str) -> Path:
    """Write a message as a file called `name`, which sorts by time; return its path."""
    path = mailbox(home) / f"{name}.eml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(mail.as_bytes(policy=_POLICY))
    return path


def read(home: Path) -> dict[Path, str]:
    """Return every message, the oldest first, by its path."""
    return {path: path.read_text(errors="replace") for path in sorted(mailbox(home).glob("*.eml"))}
