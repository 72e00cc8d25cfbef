"""HCL, Python, YAML and Make say the same; what the pages say is in test_pages.py."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import hcl2
import pytest
import yaml
from hcl2 import SerializationOptions

from parris.launch.render import NODE_TYPES, RESOURCE_TYPES
from parris.runs.record import LEASE
from parris.settings import REAP_VARIABLES, VARIABLES
from scripts import package_lambda
from scripts.cli.verbs import VERBS, WITHOUT_TARGET
from scripts.deployment.outputs import Deployment
from scripts.reference import commands

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()


class CloudFormation(yaml.SafeLoader):
    """YAML with !Ref, !Sub and the like, whose values no test here reads."""


CloudFormation.add_multi_constructor("!", lambda _loader, _tag, _node: None)


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


@pytest.mark.parametrize(
    ("file", "name", "variables"),
    [("launch.tf", "launch", VARIABLES), ("reap.tf", "reap", REAP_VARIABLES)],
)
def test_terraform_sets_exactly_what_settings_reads(
    file: str, name: str, variables: tuple[str, ...]
) -> None:
    function = hcl_block(file, "resource", "aws_lambda_function", name)
    assert set(function["environment"][0]["variables"]) == set(variables)


def test_a_claim_outlasts_the_function_that_made_it() -> None:
    function = hcl_block("launch.tf", "resource", "aws_lambda_function", "launch")
    assert LEASE.total_seconds() >= 2 * int(function["timeout"])


def test_every_output_that_scripts_read_is_there() -> None:
    assert set(Deployment.__dataclass_fields__) <= set(names("outputs.tf", "output"))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        (file, name)
        for file in sorted(path.name for path in ROOT.glob("variables*.tf"))
        for name in names(file, "variable")
    ],
)
def test_a_variable_is_described_typed_and_defaulted(file: str, name: str) -> None:
    variable = hcl_block(file, "variable", name)
    assert {"description", "type", "default"} <= set(variable)


def test_every_target_is_in_make_help() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert targets()
    for target in targets():
        assert f"make {target} " in shown


def make_list(name: str) -> set[str]:
    found = re.search(rf"^{name} := ((?:.|\\\n)+?)$", MAKEFILE.replace("\\\n", ""), re.MULTILINE)
    assert found is not None
    return set(found[1].split())


def test_every_target_is_a_verb_or_a_developers_and_has_a_help_text() -> None:
    verbs, developers = make_list("VERBS"), make_list("DEVELOPER")
    assert verbs == VERBS.keys() - set(WITHOUT_TARGET)
    assert not verbs & developers
    rules = set(re.findall(r"^([A-Za-z0-9_-]+):(?!=)", MAKEFILE, flags=re.MULTILINE))
    assert rules == verbs | developers
    assert rules - set(targets()) == {"venv", "venv-dev"}  # what the others stand on


def test_make_help_fits_a_terminal_of_80_columns() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert max(map(len, shown.splitlines())) <= 80


def test_every_verb_has_its_module_and_its_place_in_the_reference() -> None:
    modules = {path.stem for path in (ROOT / "scripts/commands").glob("*.py")} - {"__init__"}
    assert {verb.module.rpartition(".")[2] for verb in VERBS.values()} == modules
    text = commands.REFERENCE.read_text()
    assert text == commands.render(), "run python -m scripts.reference.commands"


def test_a_verb_answers_in_json_or_says_why_not_and_the_reference_lists_those() -> None:
    assert [
        verb.name for verb in VERBS.values() if bool(verb.answer) == bool(verb.unanswered)
    ] == []
    text = commands.REFERENCE.read_text()
    (listed,) = re.findall(r"Verbs without it: (.*)\.$", text, re.MULTILINE)
    without = {verb.name for verb in VERBS.values() if verb.unanswered}
    assert set(re.findall(r"`([a-z-]+)`", listed)) == without
    for verb in VERBS.values():
        section = text.partition(f"\n## {verb.name}\n")[2].partition("\n## ")[0]
        assert ("`--json`" in section) == (verb.name not in without)
        assert ("No JSON: " in section) == (verb.name in without)


def watched(name: str) -> set[str]:
    """Return the files whose hashes the local value `name` of main.tf is made of."""
    [sources] = [block[name] for block in hcl("main.tf")["locals"] if name in block]
    return {
        str(path.relative_to(ROOT))
        for pattern in re.findall(r'"([^"]+)"', sources)
        for path in ROOT.glob(pattern)
    }


def test_terraform_watches_exactly_the_sources_of_what_is_packaged_and_the_packager() -> None:
    zips = {
        re.sub("^parris/", "lambda/parris/", name)
        for function in package_lambda.ZIPS
        for name in package_lambda.contents(function)
    }
    # They lie in folders that are watched.
    for_types = {f"lambda/parris/{name}.py" for name in ("events/sent", "runs/documents")}
    assert watched("sources") == zips | for_types | {"scripts/package_lambda.py"}
    agent = package_lambda.agent_contents().keys() - {"__main__.py"}
    folders = {"agent": "trainer/runtime", "parris": "lambda"}
    modules = {f"{folders[name.split('/')[0]]}/{name}" for name in agent}
    assert watched("agent_sources") == modules | {"scripts/package_lambda.py"}


def test_the_agent_is_the_same_every_time() -> None:
    files = package_lambda.agent_contents()
    assert package_lambda.archive(files) == package_lambda.archive(files)


def test_a_launch_passes_exactly_the_parameters_of_the_template() -> None:
    template = (ROOT / "cloudformation/training-stack.yaml").read_text()
    declared = yaml.load(template, Loader=CloudFormation)["Parameters"]  # noqa: S506 - a SafeLoader
    [function] = [
        node
        for node in ast.walk(ast.parse((ROOT / "lambda/parris/launch/render.py").read_text()))
        if isinstance(node, ast.FunctionDef) and node.name == "stack_parameters"
    ]
    [passed] = [node for node in ast.walk(function) if isinstance(node, ast.Dict)]
    assert [ast.literal_eval(key) for key in passed.keys if key] == list(declared)


def test_a_launch_may_name_exactly_the_types_that_it_names() -> None:
    [values] = [block["resource_types"] for block in hcl("launch.tf")["locals"]]
    assert values == [*RESOURCE_TYPES, *NODE_TYPES]


def test_terraform_asks_before_it_destroys_anything_of_the_deployment() -> None:
    guard = hcl_block("reap.tf", "resource", "aws_lambda_invocation", "guard")
    kept = set(re.findall(r"(aws_\w+\.\w+)", str(guard["depends_on"])))
    made = {
        f"{kind}.{name}"
        for file in sorted(path.name for path in ROOT.glob("*.tf"))
        for block in hcl(file).get("resource", [])
        for kind, named in block.items()
        for name in named
    }
    # What one of these needs is kept with it.
    implied = {"aws_s3_bucket.store", "aws_cloudwatch_event_rule.reap", "aws_lambda_function.reap"}
    implied |= {"terraform_data.package", "aws_lambda_invocation.guard"}
    implied |= {
        one for one in made if one.startswith(("aws_iam_role.", "aws_cloudwatch_log_group."))
    }
    assert made - kept - implied == set()


@pytest.mark.parametrize("function", package_lambda.ZIPS)
def test_a_zip_is_small_and_the_same_every_time(function: str) -> None:
    path = package_lambda.ZIPS[function]
    first = package_lambda.build(function), path.read_bytes()
    second = package_lambda.build(function), path.read_bytes()
    assert first == second
    assert first[0] < package_lambda.MAX_BYTES


def test_the_sample_jobs_are_sound() -> None:
    from scripts.jobs import jobs

    folders = jobs.job_folders()
    assert set(folders) == {"ddp", "default", "monte-carlo"}
    for job, folder in folders.items():
        assert jobs.check_job(job, folder)[1] == []
    # The keys of a template that people copy stay those that a launch passes.
    assert json.loads((ROOT / "trainer/training-config.json").read_text())["training-job-name"]
