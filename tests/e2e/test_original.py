"""The files of the original Parris, unchanged, and then as the messages say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Clone
from tests.integration.test_account_check import ORIGINAL

TEMPLATE = {
    "Parameters": {"UserDataScript": {"Type": "String"}},
    "Resources": {
        "EC2Instance": {
            "Type": "AWS::EC2::Instance",
            "Properties": {"UserData": {"Fn::Base64": {"Ref": "UserDataScript"}}},
        }
    },
}
SCRIPT = """#!/usr/bin/env bash
printf "%s\\n" "TERMINATION_TIME_LIMIT is ${TERMINATION_TIME_LIMIT}"
shutdown -h +${TERMINATION_TIME_LIMIT} &

cd /tmp
TRAINING

# If the script has completed, turn off the server.
poweroff now
"""
"""As the original's script begins and ends; what stands between is each user's own."""


@pytest.fixture
def job(clone: Clone) -> Iterator[Path]:
    folder = clone.folder / "trainer/jobs/original"
    folder.mkdir()
    (folder / "training-config.json").write_text(json.dumps(ORIGINAL))
    (folder / "cloudformation.json").write_text(json.dumps(TEMPLATE))
    (folder / "trainer-script.sh").write_text(SCRIPT.replace("TRAINING", "echo trained"))
    yield folder
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def test_the_originals_files_come_to_a_finished_run_by_what_the_messages_say(
    clone: Clone, job: Path
) -> None:
    refused = clone.make("upload-config", "LOCAL=1", "JOB=original", check=False)
    assert refused.returncode != 0
    assert "error: 5 problems" in refused.stderr  # one message names them all
    for key in ("instance-iam-role-name", "subnet-id", "security-group-id", "ec2-keypair-name"):
        (line,) = [line for line in refused.stderr.splitlines() if f": {key}: " in line]
        assert "leave the key out" in line
    assert "leave out cloudformation_template_filename" in refused.stderr

    lacking = ("instance-iam-role-name", "subnet-id", "security-group-id", "ec2-keypair-name")
    left_out = (*lacking, "cloudformation_template_filename")
    config = {key: value for key, value in ORIGINAL.items() if key not in left_out}
    (job / "training-config.json").write_text(json.dumps(config))
    uploaded = clone.make("upload-config", "LOCAL=1", "JOB=original").stdout
    assert "trainer-script.sh, line 9: `poweroff now` is not needed" in uploaded

    launched = clone.make("launch", "LOCAL=1", "JOB=original", "WAIT=1").stdout
    said = "plan     t2.micro on-demand: $0.0199 an hour, $0.0033 at most, ends by"
    assert said in launched  # type, volume, address
    assert "| TERMINATION_TIME_LIMIT is 10" in launched
    assert "] succeeded: trainer-script.sh exited with status 0" in launched
    assert "warning: trainer-script.sh ends in `poweroff now` (line 9)" in launched

    # A training that fails does not read as one that did not, whatever came after it.
    (job / "trainer-script.sh").write_text(SCRIPT.replace("TRAINING", "python3 no-such-file.py"))
    clone.make("upload-config", "LOCAL=1", "JOB=original")
    failed = clone.make("launch", "LOCAL=1", "JOB=original", "WAIT=1", check=False)
    assert failed.returncode != 0
    assert "] failed: trainer-script.sh exited with status 2; its last line: " in failed.stdout


def test_an_instance_type_that_does_not_exist_is_refused_before_it_is_uploaded(
    clone: Clone, job: Path
) -> None:
    (job / "training-config.json").write_text('{"instance-type": "t2.mirco"}')
    refused = clone.make("upload-config", "LOCAL=1", "JOB=original", check=False)
    assert refused.returncode != 0
    assert 'instance-type: "t2.mirco": The following supplied' in refused.stderr
    assert "did you mean t2.micro?" in refused.stderr
