"""What every test of a use case on moto needs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws

from tests.reap_world import World


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let boto3 have keys of nobody, and no profile or endpoint of whoever runs the tests."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def world(credentials: None) -> Iterator[World]:  # noqa: ARG001 - only that they are there
    """Make the reap function's world; files about launches have one of their own."""
    with mock_aws():
        yield World()
