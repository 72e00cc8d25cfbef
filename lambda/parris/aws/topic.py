"""SNS: notices reach the deployment's topic, each once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from ..runs.messages import Notice
from .storage import Storage

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Notifier:
    """Publishes to one topic; makes its client when there is something to say."""

    sns: Callable[[], SNSClient]
    topic_arn: str
    storage: Storage

    def tell_once(
        self, key: str, notice: Callable[[], Notice], mark: Mapping[str, Any] | None = None
    ) -> bool:
        """Publish a notice unless somebody has done so under `key`; return whether this call did.

        Args:
            mark: what to write under `key`, for whoever looks for it.

        The mark comes first, so that two who notice the same thing at once say it once. If
        publishing fails the mark goes again, and whoever looks next says it.
        """
        if not self.storage.mark(key, mark):
            return False
        try:
            self.sns().publish(TopicArn=self.topic_arn, **notice().message())
        except (ClientError, BotoCoreError):
            # What happened has happened, and is recorded; only the message about it is missing.
            log.exception("could not publish what %s is about", key)
            self.storage.unmark(key)
            return False
        return True
