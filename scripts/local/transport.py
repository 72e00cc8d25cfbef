"""Stands in for the TLS that every AWS endpoint speaks (``aws:SecureTransport``).

The embedded cloud is reached over plain HTTP on loopback, where no wire can be tapped. Bucket
policies that refuse plain HTTP, as they should on AWS, would refuse everything here, so a request
to it counts as one over TLS (IAM user guide, "AWS global condition context keys").
"""

from __future__ import annotations

from ministack import app
from ministack.core.iam_evaluator import pin_request_origin


def register() -> None:
    """Let requests on loopback count as requests over TLS."""

    def pin_secure(source_ip: str, secure_transport: bool) -> None:
        del secure_transport
        pin_request_origin(source_ip, True)

    app.pin_request_origin = pin_secure
