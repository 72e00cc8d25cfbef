"""The module can be used by others, and its reference and examples say what it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from parris.reap.sweep import STANDS
from scripts.deployment.outputs import ROOT
from scripts.deployment.terraform import find_mirror
from scripts.reference.module import REFERENCE, read_blocks, render

EXAMPLES = sorted(path.parent for path in (ROOT / "docs/examples").glob("*/main.tf"))
VARIABLES = {name: variable for _, name, variable in read_blocks("variable")}
MODULE = ("*.tf", "cloudformation/*", "lambda/parris/**/*.py", "trainer/runtime/**/*.*")


def test_the_reference_is_what_the_hcl_says() -> None:
    assert REFERENCE.read_text() == render(), "run python -m scripts.reference.module"


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_is_described_typed_and_optional(name: str) -> None:
    assert {"description", "type", "default"} <= set(VARIABLES[name])


def test_nothing_configures_a_provider_so_that_callers_can() -> None:
    # A module that does takes no count, for_each, depends_on or providers (Terraform, "Providers
    # Within Modules").
    assert list(read_blocks("provider")) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"data\.aws_region\.\w+\.name\b", "id"),
        (r"aws_s3_bucket\.\w+(\[.*?\])?\.region\b", "bucket_region"),
    ],
)
def test_nothing_is_read_that_version_6_of_the_provider_gives_up(old: str, new: str) -> None:
    # "Terraform AWS Provider Version 6 Upgrade Guide"; version 5 would not warn of it.
    for path in [*ROOT.glob("*.tf"), *ROOT.glob("docs/examples/*/*.tf")]:
        assert re.findall(old, path.read_text()) == [], f"{path.name}: read {new}"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the module and its examples, whose init leaves nothing in this one."""
    folder = tmp_path_factory.mktemp("module")
    for pattern in (*MODULE, "scripts/package_lambda.py", "docs/examples/*/*.tf"):
        for path in ROOT.glob(pattern):
            copy = folder / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    return folder


@pytest.mark.terraform
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_valid(example: Path, checkout: Path) -> None:
    mirror = find_mirror()
    environ = {name: value for name, value in os.environ.items() if name != "TF_CLI_CONFIG_FILE"}
    init = ["terraform", "init", "-backend=false", "-input=false", "-no-color"]
    for command in (
        [*init, *([] if mirror is None else [f"-plugin-dir={mirror}"])],
        ["terraform", "validate", "-no-color"],
    ):
        result = subprocess.run(
            command,
            cwd=checkout / example.relative_to(ROOT),
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
    assert "Warning" not in result.stdout  # nothing that is deprecated


def test_every_example_is_in_their_list() -> None:
    listed = re.findall(r"\]\(([a-z-]+)/main\.tf\)", (ROOT / "docs/examples/README.md").read_text())
    assert sorted(listed) == [path.name for path in EXAMPLES]


def test_the_alarm_of_what_stands_too_long_listens_for_what_a_sweep_says() -> None:
    [pattern] = re.findall(r'pattern += "(.*)"', (ROOT / "observe.tf").read_text())
    [words] = re.findall(r'\\"([^"\\]+)\\"', pattern)
    assert words in STANDS
    others = [path.read_text() for path in (ROOT / "lambda/parris").rglob("*.py")]
    assert sum(text.count(words) for text in others) == 1
