"""`parris version` says what this clone is, and what is deployed from it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from parris import __version__
from scripts.cli.console import Refused
from scripts.commands import version

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ({}, "nothing, as far as this clone knows"),
        ({"deployment": "parris"}, "before 0.2.0"),
        ({"deployment": "parris", "parris_version": "9.1.0"}, "9.1.0"),
    ],
)
def test_what_is_deployed_is_terraforms_word(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outputs: dict[str, Any],
    said: str,
) -> None:
    monkeypatch.setattr(version, "environment", dict)
    monkeypatch.setattr(version, "read_outputs", lambda _environ: (outputs, ""))
    assert version.main([]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"parris {__version__}")
    assert second == f"deployed: {said}"


def test_without_terraform_or_a_cloud_the_clone_still_has_a_version(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused() -> dict[str, str]:
        raise Refused("no embedded cloud is running here")

    monkeypatch.setattr(version, "environment", refused)
    monkeypatch.setenv("PATH", "")  # nor git
    assert version.main(["--json"]) == 0
    answer = json.loads(capsys.readouterr().out.split("\n", 2)[2])
    assert answer == {"version": __version__, "commit": None, "deployed": None}


def test_the_changelog_has_a_section_of_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[{re.escape(__version__)}\] - 20\d\d-\d\d-\d\d$", changelog, re.M)
