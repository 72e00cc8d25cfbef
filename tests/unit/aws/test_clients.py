"""The clients of a function: which, and what making them reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.loaders import Loader

from parris.aws import clients

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for kept in (clients.client, clients._session):
        kept.cache_clear()
    yield
    for kept in (clients.client, clients._session):
        kept.cache_clear()


def test_the_services_are_those_that_the_functions_ask_for() -> None:
    sources = [path.read_text() for path in (ROOT / "lambda").rglob("*.py")]
    asked = {name for one in sources for name in re.findall(r'\bclient(?:\(|, )"([a-z0-9]+)"', one)}
    assert asked == set(clients.SERVICES)


@pytest.mark.parametrize("service", clients.SERVICES)
def test_a_client_is_made_without_a_look_at_all_services(
    monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    monkeypatch.setattr(Loader, "list_available_services", None)  # to call it is an error
    made = clients.client(service)
    assert made.meta.service_model.service_name == service
    assert made.meta.endpoint_url.startswith("https://")
    # Models that not every service has are looked for the same way.
    assert isinstance(made.can_paginate(min(made.meta.method_to_api_mapping)), bool)
    assert isinstance(made.waiter_names, list)
