"""What the scripts say when Terraform's outputs are not those of a whole deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scripts.cli.console import Refused
from scripts.deployment import outputs

WHOLE = dict.fromkeys(outputs.Deployment.__dataclass_fields__, "x")


def read(
    monkeypatch: pytest.MonkeyPatch,
    values: dict[str, Any],
    trouble: str = "",
    has_resources: bool = False,
) -> outputs.Deployment:
    monkeypatch.setattr(outputs, "environment", lambda: {})
    monkeypatch.setattr("os.environ", {"LOCAL": ""})
    monkeypatch.setattr("shutil.which", lambda _name: "/usr/bin/terraform")
    monkeypatch.setattr(outputs, "read_outputs", lambda _environ: (values, trouble))
    monkeypatch.setattr(outputs, "_has_resources", lambda: has_resources)
    return outputs.read_deployment()


def test_a_whole_deployment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, WHOLE | {"more": 1}).region == "x"


def test_no_outputs_mean_that_nothing_is_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match="nothing is deployed from here yet; run make deploy"):
        read(monkeypatch, {})


def test_a_refused_destroy_that_left_no_outputs_is_named_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(Refused, match=r"resources but no outputs.*run make deploy"):
        read(monkeypatch, {}, has_resources=True)


def test_a_deployment_of_an_older_version_is_named_so(monkeypatch: pytest.MonkeyPatch) -> None:
    older = {name: value for name, value in WHOLE.items() if name != "schedules"}
    with pytest.raises(Refused, match=r"another version .* no output schedules\); run make deploy"):
        read(monkeypatch, older)


@pytest.mark.parametrize("there", [None, ".terraform", "terraform.tfstate"])
def test_a_clone_used_on_the_embedded_cloud_alone_has_nothing_deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str | None
) -> None:
    monkeypatch.setattr(outputs, "ROOT", tmp_path)
    if there:
        (tmp_path / there).touch()
    said = "run make init and try again" if there else "nothing is deployed from here yet; run make"
    with pytest.raises(Refused, match=said):
        read(monkeypatch, {}, "Error: Required plugins are not installed")


def test_what_terraform_complains_of_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "ROOT", tmp_path)
    (tmp_path / ".terraform").mkdir()
    trouble = "Error: Backend initialization required, please run terraform init"
    with pytest.raises(Refused, match=r"Backend initialization required.*run make init and"):
        read(monkeypatch, {}, trouble)
