"""Where terraform is about to work, and when that is not where this clone's deployment is."""

from __future__ import annotations

import os

import pytest
from botocore.exceptions import NoCredentialsError

from scripts.cli.console import Refused
from scripts.deployment import terraform

DEPLOYED = {"account_id": "123456789012", "region": "eu-central-1"}


def test_a_first_deployment_may_go_anywhere() -> None:
    assert terraform.mismatch({}, account="123456789012", region="us-east-1") == ""


def test_a_deployment_is_found_where_it_is() -> None:
    assert terraform.mismatch(DEPLOYED, account="123456789012", region="eu-central-1") == ""


def test_another_region_is_refused_with_the_right_one() -> None:
    said = terraform.mismatch(DEPLOYED, account="123456789012", region="us-east-1")
    assert "AWS_REGION=eu-central-1 reaches it" in said


def test_another_account_is_refused_with_both() -> None:
    said = terraform.mismatch(DEPLOYED, account="999999999999", region="eu-central-1")
    assert "in account 123456789012, these credentials are of 999999999999" in said


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine that nobody has set up for AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


@pytest.mark.usefixtures("bare")
def test_no_credentials_are_refused_before_terraform_is_asked() -> None:
    with pytest.raises(NoCredentialsError):
        terraform.say_where("apply")


def test_no_region_is_refused_before_terraform_is_asked(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("AWS_ACCESS_KEY_ID", "nobody")
    bare.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    with pytest.raises(Refused, match="no AWS region is set; set AWS_REGION"):
        terraform.say_where("apply")
