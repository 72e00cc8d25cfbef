"""The commands a person types, with what they print and what they leave."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import package_lambda
from tests.e2e.conftest import Clone, beside_neighbour, copy_clone, run_make, wait_for


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone of its own, since clean-stacks takes what other files need."""
    with beside_neighbour(tmp_path_factory) as made:
        yield made


def test_status_results_and_logs_tell_of_a_run(clone: Clone) -> None:
    launched = clone.make("launch", "LOCAL=1", "JOB=monte-carlo", "WAIT=1").stdout
    assert "succeeded" in launched
    assert "| round 10: pi is about 3.1" in launched
    run_id = launched.split()[1]

    status = clone.make("status", "LOCAL=1", "JOB=monte-carlo").stdout
    lines = [line.split() for line in status.splitlines() if line.startswith(run_id)]
    assert [line[2] for line in lines] == ["succeeded"], status
    assert run_id in clone.make("status", "LOCAL=1", "STATE=succeeded", "SINCE=1h").stdout
    assert "round 10" in clone.make("logs", "LOCAL=1", "JOB=monte-carlo").stdout
    assert "round 10" in clone.make("logs", "LOCAL=1", "JOB=monte-carlo", "SINCE=1h").stdout
    said = _watched(clone, run_id)
    assert f"  {run_id}  succeeded  monte-carlo  ended " in said
    assert "\x1b" not in said
    clone.make("results", "LOCAL=1", f"RUN={run_id}", "ONLY=output/*.txt")
    folder = clone.folder / "results" / "monte-carlo" / run_id
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["result.txt"]
    clone.make("results", "LOCAL=1", f"RUN={run_id}")
    assert (folder / "output/result.txt").read_text().startswith("3.1")
    assert json.loads((folder / "outcome.json").read_text())["state"] == "succeeded"
    _report_of(clone, run_id)


def _report_of(clone: Clone, run_id: str) -> None:
    """Report a run that succeeded, in all ways that docs/report.md shows."""
    said = clone.make("report", "LOCAL=1", f"RUNS={run_id}").stdout
    page = (clone.folder / "results/report.html").read_text()
    assert f"results/report.html: 1 run, {len(page.encode()):,} bytes" in said
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    (row,) = data["runs"]
    assert (row["id"], row["state"]) == (run_id, "succeeded")
    assert "round 10: pi is about 3.1" in row["log"]
    assert f"make results RUN={run_id} LOCAL=1" in row["next"]
    one = clone.make("report", "LOCAL=1", "JOB=monte-carlo", f"RUNS={run_id[:-1]}").stdout
    assert "report.html: 1 run, " in one
    published = clone.make("report", "LOCAL=1", "OUTPUT=runs.html", "PUBLISH=1").stdout
    with urllib.request.urlopen(published.splitlines()[-1]) as answer:  # noqa: S310
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.read() == (clone.folder / "runs.html").read_bytes()


def _watched(clone: Clone, run_id: str) -> str:
    """Return what a watch in a pipe says until it has named a run; then nobody reads on."""
    command = [str(clone.folder / "parris"), "status", "--watch", "--local"]
    environ = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)
    assert process.stdout is not None
    said = ""
    try:
        for line in process.stdout:
            said += line
            if run_id in line:
                break
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()
    return said


def test_the_first_trainer_of_the_guide_runs_is_changed_and_runs_again(clone: Clone) -> None:
    guide = (clone.folder / "docs/getting-started.md").read_text()
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    script = next(content for language, content in blocks if language == "python")
    config = next(content for language, content in blocks if language == "json")
    printed = next(content for _, content in blocks if content.startswith("step 50"))
    job = clone.folder / "trainer/jobs/line"
    job.mkdir()
    (job / "train.py").write_text(script)
    (job / "training-config.json").write_text(config)
    assert "line: 2 uploaded" in clone.make("upload-config", "LOCAL=1", "JOB=line").stdout
    said = clone.make("launch", "LOCAL=1", "JOB=line", "WAIT=1").stdout
    for line in printed.splitlines():
        assert f"| {line}" in said

    wait_for(lambda: "my-line" not in _stack_names(clone), 60)
    (job / "train.py").write_text(script.replace("step % 50", "step % 400"))
    more = ("PARAMETERS=steps=400", "UPLOAD=1", "WAIT=1")
    said = clone.make("launch", "LOCAL=1", "JOB=line", *more).stdout
    assert ("| step 50" in said, "| step 400" in said) == (False, True)
    run_id = said.partition("\nrun ")[2].split()[0]
    clone.make("results", "LOCAL=1", "JOB=line")
    assert (clone.folder / "results/line" / run_id / "output/model.json").is_file()


def test_a_launch_takes_parameters_that_the_job_has_and_no_others(clone: Clone) -> None:
    given = ("LOCAL=1", "JOB=monte-carlo", "PARAMETERS=rounds=2 'darts=1000'")
    said = clone.make("launch", *given, "WAIT=1").stdout
    assert "| round 2: pi is about " in said
    assert "round 3" not in said
    refused = clone.make("launch", "LOCAL=1", "JOB=monte-carlo", "PARAMETERS=round=2", check=False)
    assert "error: round is not a parameter of job monte-carlo; did you mean rounds?" in (
        refused.stderr
    )
    shutil.move(clone.folder / "trainer/jobs/monte-carlo", clone.folder / "away")
    try:  # the function knows by itself
        refused = clone.make(
            "launch", "LOCAL=1", "JOB=monte-carlo", "PARAMETERS=round=2", check=False
        )
        assert "error: job monte-carlo was not launched: parameters: round is not" in refused.stderr
        rows = json.loads(clone.make("jobs", "LOCAL=1", "JSON=1").stdout)
    finally:
        shutil.move(clone.folder / "away", clone.folder / "trainer/jobs/monte-carlo")
    row = next(row for row in rows if row["job"] == "monte-carlo")
    assert (row["folder"], row["bucket"], row["state"]) == (False, True, "succeeded")


def test_the_front_door_answers_in_json_from_any_folder_and_with_a_status_that_tells(
    clone: Clone, tmp_path: Path
) -> None:
    inherited = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}

    def parris(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(clone.folder / "parris"), *arguments, "--local"],
            cwd=tmp_path,
            env=inherited,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    done = parris("launch", "failing", "--wait", "--json")
    assert done.returncode == 3, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["job"], answer["state"]) == ("failing", "failed")
    assert answer["outcome"]["exit-status"] == 3
    assert "| about to fail" in done.stderr
    run_id = answer["run-id"]
    logged = json.loads(parris("logs", run_id[:-1], "--json").stdout)
    assert (logged["run-id"], logged["state"]) == (run_id, "failed")
    assert logged["log"].endswith("about to fail\n")
    fetched = json.loads(parris("results", run_id[:-1], "--to", ".", "--json").stdout)
    assert fetched["folder"] == str(tmp_path / "failing" / run_id)
    assert fetched["files"] == len([path for path in tmp_path.rglob("*") if path.is_file()])
    over = parris("stop", run_id, "--json")
    assert (over.returncode, over.stdout) == (1, "")
    assert "is over already: failed" in over.stderr
    assert "no run's id begins with '1999'; the newest runs are" in parris("logs", "1999").stderr
    gone = json.loads(parris("clean", "--wait", "--json").stdout)
    assert gone["failed"] == {}
    same = json.loads(parris("upload", "--json").stdout)
    assert same["failing"]["uploaded"] == []


def test_clean_stacks_deletes_what_is_over_and_keeps_what_lives(clone: Clone) -> None:
    job = clone.folder / "trainer/jobs/living"
    job.mkdir()
    (job / "training-config.json").write_text('{"training-job-name": "e2e-living"}')
    (job / "trainer-script.sh").write_text("#!/bin/bash\nsleep 600\n")
    clone.make("upload-config", "LOCAL=1", "JOB=living")
    clone.invoke({"job": "living"})
    clone.outcome("kept-on", clone.invoke({"job": "kept-on"})["run-id"])
    cloudformation = clone.client("cloudformation")
    foreign = '{"Resources": {"T": {"Type": "AWS::SNS::Topic"}}}'
    cloudformation.create_stack(StackName="foreign", TemplateBody=foreign)

    assert {"e2e-living", "e2e-kept-on", "foreign"} <= _stack_names(clone)
    clone.make("clean-stacks", "LOCAL=1", "WAIT=1")
    names = _stack_names(clone)
    assert {"e2e-living", "foreign"} <= names
    assert "e2e-kept-on" not in names

    refused = clone.make("clean-stacks", "LOCAL=1", "ALL=1", check=False)
    # One that a schedule began may live too.
    assert re.search(r"^error: \d+ live runs? would be ended", refused.stderr, re.MULTILINE)
    assert "e2e-living" in _stack_names(clone)
    clone.make("clean-stacks", "LOCAL=1", "ALL=1", "YES=1", "WAIT=1")
    assert "e2e-living" not in _stack_names(clone)
    assert "foreign" in _stack_names(clone)


def test_upload_config_uploads_nothing_when_anything_is_wrong(clone: Clone) -> None:
    config = clone.folder / "trainer/training-config.json"
    good = config.read_text()
    script = clone.folder / "trainer/trainer-script.sh"
    script.write_text(script.read_text() + "# changed\n")
    config.write_text('{"time-limit": 90.5, "termination-method": "at-fixed-tme"}')
    refused = clone.make("upload-config", "LOCAL=1", check=False)
    config.write_text(good)
    assert "time-limit: 90.5 is not a whole number of minutes (1 to 10080)" in refused.stderr
    assert "Nothing was uploaded." in refused.stderr
    assert "Traceback" not in refused.stderr
    done = clone.make("upload-config", "LOCAL=1").stdout
    assert "upload trainer-script.sh" in done
    assert "default: 1 uploaded, 0 removed" in done
    assert "default: 0 uploaded, 0 removed" in clone.make("upload-config", "LOCAL=1").stdout


def test_a_schedule_of_a_job_that_is_not_there_is_refused(clone: Clone) -> None:
    path = clone.folder / "more.auto.tfvars"
    path.write_text('schedules = { nightly = { expression = "rate(1 day)", job = "nowhere" } }\n')
    refused = clone.make("upload-config", "LOCAL=1", check=False)
    path.unlink()
    assert 'more.auto.tfvars: schedule nightly: job "nowhere" does not exist' in refused.stderr


def test_an_unknown_job_is_refused_by_name(clone: Clone) -> None:
    refused = clone.make("launch", "LOCAL=1", "JOB=nowhere", check=False)
    assert "error: job nowhere was not launched" in refused.stderr
    assert "there is no job of that name" in refused.stderr


def test_help_is_what_make_does_by_itself_and_changes_nothing(clone: Clone) -> None:
    before = _contents(clone.folder)
    shown = clone.make("help").stdout
    assert "make demo " in shown
    assert clone.make().stdout == shown
    assert _contents(clone.folder) == before


def test_another_architecture_needs_no_package_to_be_there(clone: Clone) -> None:
    shutil.rmtree(clone.folder / "build")
    variables = clone.folder / "terraform.tfvars"
    before = variables.read_text()
    variables.write_text(f'{before}\narchitecture = "x86_64"\n')
    try:
        deployed = clone.make("deploy", "LOCAL=1", "YES=1", "PLAN=1")
        assert "# aws_lambda_function.launch will be updated in-place" in deployed.stdout
        assert re.search(r"~ architectures +=", deployed.stdout)
        assert "terraform will change" in deployed.stdout
        for said in (deployed.stdout, deployed.stderr):
            assert "Warning:" not in said
            assert "eprecated" not in said
        name = clone.outputs["launch_function"]
        found = clone.client("lambda").get_function_configuration(FunctionName=name)
        assert found["Architectures"] == ["x86_64"]
    finally:
        variables.write_text(before)
        done = json.loads(clone.make("deploy", "LOCAL=1", "YES=1", "JSON=1").stdout)
    assert done["change"] > 0
    assert done["add"] == done["remove"]  # what is replaced counts as both


def test_a_shell_is_turned_to_the_embedded_cloud_with_its_mails_and_a_bucket(clone: Clone) -> None:
    endpoint = clone.environ["AWS_ENDPOINT_URL"]
    lines = clone.make("local-env").stdout
    script = f'{lines}\necho "$LOCAL $AWS_ENDPOINT_URL ${{AWS_PROFILE:-none}}"'
    said = subprocess.run(
        ["bash", "-euc", script],
        env={"PATH": os.environ["PATH"], "AWS_PROFILE": "work"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said == f"1 {endpoint} none\n"
    told = json.loads(clone.make("local-env", "JSON=1").stdout)
    assert told["set"]["AWS_ENDPOINT_URL"] == endpoint
    assert "AWS_PROFILE" in told["unset"]

    assert "No e-mail yet" in clone.make("local-mail").stdout
    assert json.loads(clone.make("local-mail", "JSON=1").stdout) == []

    made = clone.make("bucket", "LOCAL=1", "NAME=e2e-data").stdout
    assert "s3://e2e-data made in us-east-1, closed to the public" in made
    assert "no data trigger watches it yet" not in made
    told = json.loads(clone.make("bucket", "LOCAL=1", "NAME=e2e-data", "JSON=1").stdout)
    assert (told["made"], told["told"], told["watched"]) == (False, False, True)


def test_package_builds_the_functions_zip(clone: Clone) -> None:
    shutil.rmtree(clone.folder / "build")
    said = clone.make("package").stdout
    path = clone.folder / "build/launch.zip"
    assert f"build/launch.zip: {path.stat().st_size} bytes" in said
    with zipfile.ZipFile(path) as archive:
        packaged = {name: archive.read(name) for name in archive.namelist()}
    assert packaged == package_lambda.contents("launch")


def test_format_mends_what_is_crooked_and_leaves_the_rest(clone: Clone) -> None:
    before = _contents(clone.folder)
    crooked = {
        "versions.tf": "terraform {\n",
        "scripts/commands/logs.py": "from __future__ import annotations\n",
    }
    for name, line in crooked.items():
        path = clone.folder / name
        path.write_text(path.read_text().replace(line, line.replace(" ", "   "), 1))
    assert _contents(clone.folder) != before
    clone.make("format")
    assert _contents(clone.folder) == before


def test_init_fetches_the_provider_again_when_it_is_asked_for(clone: Clone) -> None:
    providers = clone.folder / ".parris/local/terraform/providers"
    shutil.rmtree(providers)
    assert "terraform is ready" in clone.make("init", "LOCAL=1").stdout
    assert list(providers.glob("registry.terraform.io/hashicorp/aws/*"))
    versions = clone.folder / "versions.tf"
    good = versions.read_text()
    versions.write_text(good.replace('">= 1.9.0"', '">= 99.0.0"'))
    refused = clone.make("init", "LOCAL=1", check=False)
    versions.write_text(good)
    assert "terraform init failed; its own words" in refused.stderr
    assert "Unsupported Terraform Core version" in refused.stderr


def test_local_down_ends_everything_and_later_commands_say_so(tmp_path: Path) -> None:
    folder = copy_clone(tmp_path / "clone")
    run_make(folder, "local-up", "LOCAL_PORT=0")
    run_make(folder, "local-down")
    gone = run_make(folder, "status", "LOCAL=1", check=False)
    assert "no embedded cloud is running here; start it with make local-up" in gone.stderr
    left = subprocess.run(
        ["pgrep", "--full", str(folder)], capture_output=True, text=True, check=False
    )
    assert left.stdout == ""


def _contents(folder: Path) -> dict[str, str]:
    """Return the digest of every file, without what lies in folders that git ignores."""
    ignored = {".venv", ".parris", ".terraform", ".ruff_cache", "build", "results", "__pycache__"}
    found = {}
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in ignored]
        for path in (Path(here) / name for name in files):
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _stack_names(clone: Clone) -> set[str]:
    stacks = clone.client("cloudformation").describe_stacks()["Stacks"]
    return {stack["StackName"] for stack in stacks if stack["StackStatus"] != "DELETE_COMPLETE"}
