"""The make targets with the rights of operator_policy, and with none."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import Clone, wait_for
from tests.e2e.roles import become

COMMANDS = (
    ("upload-config",),
    ("plan",),
    ("launch", "JOB=operated"),
    ("status",),
    ("jobs",),
    ("logs",),
    ("results",),
    ("stop",),
    ("extend",),
    ("fire", "TRIGGER=button"),
    ("fire", "TRIGGER=schedule", "NAME=often"),
    ("clean-stacks",),
)


@pytest.fixture(scope="module")
def job(clone: Clone) -> None:
    folder = clone.folder / "trainer/jobs/operated"
    folder.mkdir()
    config = {
        "training-job-name": "e2e-operated",
        "termination-method": "at-fixed-time",
        "time-limit": 10,
        "stop-grace-seconds": 1,
        "keep-stack": "always",
    }
    many = clone.folder / "trainer/jobs/operated-grid"
    many.mkdir()
    its = {"training-job-name": "e2e-operated-grid", "parameters": {"x": "1"}}
    (many / "training-config.json").write_text(json.dumps(its))
    (many / "trainer-script.sh").write_text("#!/bin/bash\ntrue\n")
    (folder / "training-config.json").write_text(json.dumps(config))
    script = "#!/bin/bash\necho begun\necho kept > $PARRIS_OUTPUT_DIR/x\nsleep 600\n"
    (folder / "trainer-script.sh").write_text(script)


@pytest.mark.usefixtures("job", "data_bucket")
def test_an_operator_may_do_all_that_the_make_targets_do(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(clone, monkeypatch, "operator", clone.outputs["operator_policy"])

    assert "operated: 2 uploaded" in clone.make("upload-config", "LOCAL=1", "JOB=operated").stdout
    planned = clone.make("plan", "LOCAL=1", "JOB=operated").stdout
    assert "not looked at" not in planned
    assert "the roles may do all that it takes" in planned
    clone.make("plan", "LOCAL=1", "JOB=taken")  # a spot machine has a price of its own
    run = clone.make("launch", "LOCAL=1", "JOB=operated").stdout.split()[1]

    def is_logged() -> bool:
        said = clone.make("logs", "LOCAL=1", f"RUN={run}", check=False)
        return "begun" in said.stdout

    wait_for(is_logged, 90)
    assert run in clone.make("status", "LOCAL=1").stdout
    assert run in clone.make("status", "LOCAL=1", "STATE=running", "SINCE=1h").stdout
    assert run in clone.make("costs", "LOCAL=1", "CSV=1").stdout
    assert "is now" in clone.make("extend", "LOCAL=1", f"RUN={run}", "MINUTES=5").stdout
    clone.make("stop", "LOCAL=1", f"RUN={run}", "WAIT=1")
    clone.make("results", "LOCAL=1", f"RUN={run}")
    assert (clone.folder / "results/operated" / run / "output/x").read_text() == "kept\n"
    clone.make("upload-config", "LOCAL=1", "JOB=operated-grid")
    grid = ("grid", "LOCAL=1", "JOB=operated-grid", "PARAMETERS=x=1,2", "WAIT=1")
    assert "2 of 2 trials: 2 succeeded" in clone.make(*grid).stdout
    clone.make("schedules", "LOCAL=1")
    assert "operated" in clone.make("jobs", "LOCAL=1").stdout
    message = ("TRIGGER=device", "JOB=told", 'PAYLOAD={"wy": "operator"}')
    refused = clone.make("fire", "LOCAL=1", *message, check=False)
    assert "the launch function refused: parameters: wy is not" in refused.stderr
    clone.make("fire", "LOCAL=1", "TRIGGER=button", "CLICK=DOUBLE")
    clone.make("fire", "LOCAL=1", "TRIGGER=device", "JOB=told", 'PAYLOAD={"why": "operator"}')
    clone.make("fire", "LOCAL=1", "TRIGGER=schedule", "NAME=often")
    clone.make("fire", "LOCAL=1", "TRIGGER=data", "KEY=in/operated", "FILE=README.md")
    clone.make("fire", "LOCAL=1", "TRIGGER=data", "KEY=in/operated")
    (clone.folder / "trainer/jobs/operated/more.txt").write_text("more\n")
    clone.make("upload-config", "LOCAL=1", "JOB=operated")
    (clone.folder / "trainer/jobs/operated/more.txt").unlink()
    assert "1 removed" in clone.make("upload-config", "LOCAL=1", "JOB=operated").stdout
    config = clone.folder / "trainer/jobs/operated/training-config.json"
    sound = config.read_text()
    lacking = {
        "subnet-id": "subnet-0123abcd",
        "security-group-id": "sg-0123abcd",
        "ec2-keypair-name": "gone",
    }
    config.write_text(json.dumps(json.loads(sound) | lacking))
    refused = clone.make("upload-config", "LOCAL=1", "JOB=operated", check=False)
    config.write_text(sound)
    assert "error: 3 problems" in refused.stderr
    assert "delete e2e-operated" in clone.make("clean-stacks", "LOCAL=1", "WAIT=1").stdout


@pytest.mark.usefixtures("job")
def test_whoever_may_do_nothing_is_told_so_in_words(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(clone, monkeypatch, "nobody", None)
    for command in COMMANDS:
        refused = clone.make(*command, "LOCAL=1", check=False)
        assert refused.returncode != 0, command
        assert "error: " in refused.stderr, command
        assert "AWS refused " in refused.stderr, command
        assert "Traceback" not in refused.stderr, command
