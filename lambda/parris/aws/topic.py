"""SNS: notices reach the deployment's topic, each once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from ..runs import messages
from ..runs.messages import Notice
from ..runs.record import RunRecord
from .told import Told, told_key

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Notifier:
    """Publishes to one topic; makes its client when there is something to say."""

    sns: Callable[[], SNSClient]
    topic_arn: str
    told: Told

    def tell_once(
        self,
        key: str,
        notice: Callable[[], Notice],
        content: Mapping[str, Any] | None = None,
        *,
        lasting: bool = True,
    ) -> bool:
        """Publish a notice unless it has been published under `key`; return whether this call did.

        Args:
            content: kept under `key`, for whoever looks for it.
            lasting: whether it is not to be told again by an event that comes after five minutes
                or more; that takes one more call.
        """
        return self.tell(key, notice, content, lasting=lasting)[0]

    def is_told(self, key: str, notice: Callable[[], Notice]) -> bool:
        """Publish a notice unless it has been; return whether it has been by now."""
        now, before = self.tell(key, notice)
        return now or before

    def tell(
        self,
        key: str,
        notice: Callable[[], Notice],
        content: Mapping[str, Any] | None = None,
        *,
        lasting: bool = True,
    ) -> tuple[bool, bool]:
        """Publish a notice; return whether this call did, and whether it had been before."""
        telling = self.told.begin(key, content)
        if not telling.begun:
            return False, telling.done
        try:
            self.sns().publish(TopicArn=self.topic_arn, **notice().message())
        except (ClientError, BotoCoreError):
            # What happened has happened, and is recorded; only the message about it is missing.
            log.exception("could not publish what %s is about", key)
            self.told.failed(key, telling)
            return False, False
        if lasting:
            self.told.done(key, telling)
        return True, False


def tell_of_attempt(record: RunRecord, notifier: Notifier) -> bool:
    """Tell that the last attempt of a run is over, if one is; return whether all is told by now.

    Of refusals one after another the first is told; `make status` shows the others.
    """
    if not record.attempts or record.trial is not None:  # of a grid only its own end is told
        return True
    over, before = record.attempts[-1], record.attempts[:-1]
    if over.refusal is not None and before and before[-1].refusal is not None:
        return True
    key = told_key(record.job, record.run_id, f"attempt-{over.number}")
    return notifier.is_told(key, lambda: messages.goes_on(record.job, record.run_id, over))
