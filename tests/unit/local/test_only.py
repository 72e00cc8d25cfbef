"""LOCAL=1 reaches the embedded cloud and nothing else, whatever the environment says."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from urllib.request import proxy_bypass

import pytest

from scripts.cli.console import Refused
from scripts.deployment import outputs
from scripts.local import cloud

SCRIPTS = Path(__file__).parents[3] / "scripts"
ENDPOINT = "http://127.0.0.1:4566"
OURS = {
    "AWS_ENDPOINT_URL": ENDPOINT,
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
ELSEWHERE = {
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_ENDPOINT_URL_S3": "https://example.org",
    "AWS_ENDPOINT_URL_IOT_DATA_PLANE": "https://example.org",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
    "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": "legacy",
    "AWS_ENDPOINT_DISCOVERY_ENABLED": "true",
    "AWS_PROFILE": "work",
    "AWS_SESSION_TOKEN": "real",
    "TF_WORKSPACE": "work",
}


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """LOCAL=1 with the variables of an embedded cloud, and no others of AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in (OURS | {"LOCAL": "1"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cloud, "environment", lambda _home: OURS)
    return monkeypatch


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_sends_a_call_elsewhere_is_dropped(local: pytest.MonkeyPatch, name: str) -> None:
    local.setenv(name, ELSEWHERE[name])
    changed = cloud.local_environ(os.environ)
    assert name not in changed
    assert {key: value for key, value in changed.items() if key.startswith("AWS_")} == OURS
    local.delenv(name)
    for service in ("s3", "sts", "iot-data", "dynamodb"):
        client = outputs.make_client(service, "us-east-1")
        assert client.meta.endpoint_url == ENDPOINT


@pytest.mark.parametrize(
    ("name", "service"),
    [("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "sts"), ("AWS_ENDPOINT_URL_S3", "s3")],
)
def test_a_client_that_would_go_elsewhere_is_refused(
    local: pytest.MonkeyPatch, name: str, service: str
) -> None:
    local.setenv(name, ELSEWHERE[name])
    with pytest.raises(Refused, match=f"LOCAL=1, but {service} would be called at https://"):
        outputs.make_client(service, "us-east-1")
    local.setenv("LOCAL", "")
    assert outputs.make_client(service, "us-east-1").meta.endpoint_url != ENDPOINT


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:4566", True),
        ("http://[::1]:4566", True),
        ("http://localhost:4566", True),
        ("https://sts.amazonaws.com", False),
        ("http://127.0.0.1.example.org", False),
        ("http://127.0.0.1@example.org", False),
        ("http://169.254.169.254", False),
        ("", False),
    ],
)
def test_loopback_is_this_machine_and_no_other(
    local: pytest.MonkeyPatch, url: str, here: bool
) -> None:
    local.setenv("AWS_ENDPOINT_URL", url or "https://example.org")
    if here:
        assert outputs.make_client("sts", "us-east-1").meta.endpoint_url == url
        return
    with pytest.raises(Refused):
        outputs.make_client("sts", "us-east-1")


@pytest.mark.parametrize("given", ["", "example.org"])
def test_no_proxy_stands_between(local: pytest.MonkeyPatch, given: str) -> None:
    local.setenv("HTTP_PROXY", "http://proxy.example.org:3128")
    local.setenv("NO_PROXY", given)
    local.delenv("no_proxy", raising=False)
    for name, value in cloud.local_environ(os.environ).items():
        local.setenv(name, value)
    assert proxy_bypass("127.0.0.1:4566")
    assert proxy_bypass("example.org") == bool(given)


def test_every_script_makes_its_clients_in_the_one_place() -> None:
    makers = set()
    for path in SCRIPTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("client", "create_client"):
                # outputs.client, self.client …: of Deployment, which calls make_client
                owner = ast.unparse(node.value)
                if owner.startswith(("boto", "session")) or owner.endswith("ession()"):
                    makers.add(f"{path.relative_to(SCRIPTS)}: {ast.unparse(node)}")
    assert makers == {"deployment/outputs.py: boto3.client"}
