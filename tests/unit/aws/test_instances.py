"""When a machine ended, by what EC2 says of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from parris.aws.instances import _ended

NOON = datetime(2026, 11, 24, 12, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "ended"),
    [
        ("User initiated (2026-11-24 12:00:05 GMT)", NOON),
        ("Service initiated (2026-11-24 12:00:05 GMT)", NOON),
        ("Server.SpotInstanceTermination: Spot Instance termination", None),
        ("Client.UserInitiatedShutdown: User initiated shutdown", None),
        ("User initiated (2026-11-24 12:00:05 CET)", None),
        ("User initiated (2026-11-24)", None),
        ("User initiated 2026-11-24 12:00:05 GMT", None),
        ("", None),
    ],
)
def test_the_time_at_which_a_machine_ended_is_the_one_that_ec2_names(
    said: str, ended: datetime | None
) -> None:
    assert _ended(said) == ended
