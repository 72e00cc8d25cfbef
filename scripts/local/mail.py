"""E-mail subscriptions of an SNS topic, which MiniStack only logs: a file for each message.

Stands in for the protocols ``email`` and ``email-json`` ("Email notifications", SNS developer
guide), and for the person who confirms the subscription: on AWS nothing comes before that.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from ministack.services import sns

from scripts.local.mailbox import deliver

_numbers = itertools.count()


def register(home: Path) -> None:
    """Deliver what is published to a topic to its e-mail subscriptions."""
    sns._fanout = _with_mail(sns._fanout, home)


def _with_mail(fanout: Callable[..., None], home: Path) -> Callable[..., None]:
    def fanned(
        topic_arn: str,
        message_id: str,
        message: str,
        subject: str,
        message_structure: str = "",
        message_attributes: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        fanout(
            topic_arn, message_id, message, subject, message_structure, message_attributes, **more
        )
        topic = sns._topic_by_arn_any_scope(topic_arn) or {"subscriptions": []}
        for subscription in topic["subscriptions"]:
            protocol = subscription.get("protocol")
            if protocol not in ("email", "email-json"):
                continue
            text = sns._resolve_message_for_protocol(message, message_structure, protocol)
            attributes = message_attributes or {}
            if not sns._matches_filter_policy(subscription, attributes, text):
                continue
            if protocol == "email-json":
                text = sns._build_envelope(topic_arn, message_id, text, subject, attributes, False)
            _send(home, subscription["endpoint"], subject, text, message_id)

    return fanned


def _send(home: Path, to: str, subject: str, text: str, message_id: str) -> None:
    now = datetime.datetime.now(datetime.UTC)
    mail = EmailMessage()
    mail["From"] = "AWS Notifications <no-reply@sns.amazonaws.com>"
    mail["To"] = to
    mail["Subject"] = subject or "AWS Notification Message"
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{message_id}@sns.amazonaws.com>"
    mail.set_content(text, cte="8bit")
    deliver(home, mail, f"{now:%Y%m%d-%H%M%S}-{next(_numbers):04}")
