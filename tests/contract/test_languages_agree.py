"""HCL, Python, YAML, Make and README say the same."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import hcl2
import pytest
from hcl2 import SerializationOptions

from parris.config import FIELDS
from parris.launch import LEASE
from parris.settings import VARIABLES
from scripts import package_lambda
from scripts.deployment import Deployment

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


@cache
def hcl(name: str) -> dict[str, Any]:
    options = SerializationOptions(strip_string_quotes=True, explicit_blocks=False)
    with (ROOT / name).open() as file:
        read: dict[str, Any] = hcl2.load(file, serialization_options=options)
    return read


def hcl_block(name: str, kind: str, *labels: str) -> dict[str, Any]:
    for block in hcl(name)[kind]:
        for label in labels:
            block = block.get(label, {})
        if block:
            return dict(block)
    raise AssertionError(f"{name} has no {kind} {labels}")


def names(file: str, kind: str) -> list[str]:
    return [name for block in hcl(file)[kind] for name in block]


def targets() -> list[str]:
    return re.findall(r"^([a-z-]+):.*## ", MAKEFILE, flags=re.MULTILINE)


def test_terraform_sets_exactly_what_settings_reads() -> None:
    function = hcl_block("main.tf", "resource", "aws_lambda_function", "launch")
    assert set(function["environment"][0]["variables"]) == set(VARIABLES)


def test_a_claim_outlasts_the_function_that_made_it() -> None:
    function = hcl_block("main.tf", "resource", "aws_lambda_function", "launch")
    assert LEASE.total_seconds() >= 2 * int(function["timeout"])


def test_every_output_that_scripts_read_is_there() -> None:
    assert set(Deployment.__dataclass_fields__) <= set(names("outputs.tf", "output"))


@pytest.mark.parametrize("name", names("variables.tf", "variable"))
def test_a_variable_is_described_typed_defaulted_and_in_the_readme(name: str) -> None:
    variable = hcl_block("variables.tf", "variable", name)
    assert {"description", "type", "default"} <= set(variable)
    assert f"| `{name}` |" in README


@pytest.mark.parametrize("key", FIELDS)
def test_a_config_key_is_in_the_readme(key: str) -> None:
    assert f"| `{key}` |" in README


@pytest.mark.parametrize("name", names("outputs.tf", "output"))
def test_an_output_is_in_the_readme(name: str) -> None:
    assert f"`{name}`" in README


def test_every_target_is_in_the_readme_and_in_make_help() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert len(targets()) == 18
    for target in targets():
        assert f"`{target}`" in README
        assert f"make {target} " in shown


def test_every_target_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"make ([a-z]+(?:-[a-z]+)*)", README))
    assert named <= set(targets())


def test_terraform_watches_every_source_of_the_zip() -> None:
    main = (ROOT / "main.tf").read_text()
    for name in package_lambda.contents():
        assert name.startswith("parris/") or f'"{name}"' in main
    assert '"lambda/parris/*.py"' in main
    assert '"scripts/package_lambda.py"' in main


def test_the_zip_is_small_and_the_same_every_time() -> None:
    first = package_lambda.build(), package_lambda.ZIP.read_bytes()
    second = package_lambda.build(), package_lambda.ZIP.read_bytes()
    assert first == second
    assert first[0] < package_lambda.MAX_BYTES


@pytest.mark.parametrize(
    "path", [*(ROOT / "lambda/parris").glob("*.py"), ROOT / "trainer/runtime/agent.py"], ids=str
)
def test_what_runs_on_aws_needs_nothing_installed(path: Path) -> None:
    allowed = set(sys.stdlib_module_names)
    if path.name != "agent.py":
        allowed |= {"boto3", "botocore"} | {"mypy_boto3_s3", "mypy_boto3_ssm"}
        allowed |= {"mypy_boto3_cloudformation"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= allowed
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            assert (node.module or "").split(".")[0] in allowed


def test_only_the_edges_touch_boto3() -> None:
    touching = {
        path.name
        for path in (ROOT / "lambda/parris").glob("*.py")
        if re.search(r"^import boto3|boto3\.client", path.read_text(), flags=re.MULTILINE)
    }
    assert touching == {"handlers.py"}


def test_the_sample_jobs_are_sound() -> None:
    from scripts import jobs

    folders = jobs.job_folders()
    assert set(folders) == {"default", "monte-carlo"}
    for job, folder in folders.items():
        assert jobs.check_job(job, folder)[1] == []
    # The keys of a template that people copy stay those that a launch passes.
    assert json.loads((ROOT / "trainer/training-config.json").read_text())["training-job-name"]
