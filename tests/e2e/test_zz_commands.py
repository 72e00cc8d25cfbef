"""The commands a person types, with what they print and what they leave."""

from __future__ import annotations

import json
import subprocess

from tests.e2e.conftest import Clone


def test_status_results_and_logs_tell_of_a_run(clone: Clone) -> None:
    clone.make("clean-stacks", "LOCAL=1")
    launched = clone.make("launch", "LOCAL=1", "JOB=monte-carlo", "WAIT=1").stdout
    assert "succeeded" in launched
    assert "| round 10: pi is about 3.1" in launched
    run_id = launched.split()[1]

    status = clone.make("status", "LOCAL=1", "JOB=monte-carlo").stdout
    lines = [line.split() for line in status.splitlines() if line.startswith(run_id)]
    assert [line[2] for line in lines] == ["succeeded"], status
    assert "round 10" in clone.make("logs", "LOCAL=1", "JOB=monte-carlo").stdout
    clone.make("results", "LOCAL=1", f"RUN={run_id}")
    folder = clone.folder / "results" / "monte-carlo" / run_id
    assert (folder / "output/result.txt").read_text().startswith("3.1")
    assert json.loads((folder / "outcome.json").read_text())["state"] == "succeeded"


def test_clean_stacks_deletes_what_is_over_and_keeps_what_lives(clone: Clone) -> None:
    job = clone.folder / "trainer/jobs/living"
    job.mkdir()
    (job / "training-config.json").write_text('{"training-job-name": "e2e-living"}')
    (job / "trainer-script.sh").write_text("#!/bin/bash\nsleep 600\n")
    clone.make("upload-config", "LOCAL=1", "JOB=living")
    clone.invoke({"job": "living"})
    cloudformation = clone.client("cloudformation")
    foreign = '{"Resources": {"T": {"Type": "AWS::SNS::Topic"}}}'
    cloudformation.create_stack(StackName="foreign", TemplateBody=foreign)

    clone.make("clean-stacks", "LOCAL=1")
    names = _stack_names(clone)
    assert {"e2e-living", "foreign"} <= names
    assert "parris-monte-carlo" not in names

    refused = clone.make("clean-stacks", "LOCAL=1", "ALL=1", check=False)
    assert "live runs would be ended" in refused.stderr
    assert "e2e-living" in _stack_names(clone)
    clone.make("clean-stacks", "LOCAL=1", "ALL=1", "YES=1")
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
    assert "make upload-config JOB=nowhere" in refused.stderr


def test_local_down_ends_everything_and_later_commands_say_so(clone: Clone) -> None:
    clone.make("local-down")
    gone = clone.make("status", "LOCAL=1", check=False)
    assert "no embedded cloud is running here; start it with make local-up" in gone.stderr
    left = subprocess.run(
        ["pgrep", "--full", str(clone.folder)], capture_output=True, text=True, check=False
    )
    assert left.stdout == ""


def _stack_names(clone: Clone) -> set[str]:
    stacks = clone.client("cloudformation").describe_stacks()["Stacks"]
    return {stack["StackName"] for stack in stacks if stack["StackStatus"] != "DELETE_COMPLETE"}
