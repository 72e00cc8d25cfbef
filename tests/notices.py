"""The notification topic as a subscriber sees it."""

from __future__ import annotations

import json
from typing import Any

import boto3


class Topic:
    """A topic with a queue of its own, by the listener's name, that listens to it."""

    def __init__(self, arn: str, listener: str = "heard", **endpoint: Any) -> None:
        endpoint = {"region_name": "us-east-1"} | endpoint
        self.sns: Any = boto3.client("sns", **endpoint)
        self._sqs: Any = boto3.client("sqs", **endpoint)
        name = arn.rpartition(":")[2]
        self.sns.create_topic(Name=name)  # which may be there
        self._queue = self._sqs.create_queue(QueueName=f"{name}-{listener}")["QueueUrl"]
        queue_arn = self._sqs.get_queue_attributes(
            QueueUrl=self._queue, AttributeNames=["QueueArn"]
        )["Attributes"]["QueueArn"]
        allow = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue_arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": arn}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
        self._sqs.set_queue_attributes(QueueUrl=self._queue, Attributes={"Policy": policy})
        self.sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn)
        self._heard: list[dict[str, Any]] = []

    def heard(self, event: str | None = None, job: str | None = None) -> list[dict[str, Any]]:
        """Return all that was published so far (of `event`, of `job`), as machines see it.

        The subject is added as ``subject``.
        """
        while messages := self._sqs.receive_message(
            QueueUrl=self._queue, MaxNumberOfMessages=10
        ).get("Messages"):
            for message in messages:
                body = json.loads(message["Body"])
                record = json.loads(body["Message"]) | {"subject": body.get("Subject", "")}
                self._heard.append(record)
                self._sqs.delete_message(
                    QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"]
                )
        return [
            record
            for record in self._heard
            if event in (None, record.get("event")) and job in (None, record.get("job"))
        ]
