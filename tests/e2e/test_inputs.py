"""A run begins with its data and secrets, whose values nothing else ever holds."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from typing import Any

from parris.aws import instances
from tests.e2e.conftest import Clone, wait_for

WORD, OTHER = "hunter2-swordfish", "correct-horse-battery"
SCRIPT = """#!/bin/bash
printf %s "${KEY}${PASSWORD}" | sha256sum >"${PARRIS_OUTPUT_DIR}/digest"
cat data/train/deep/a data/b >"${PARRIS_OUTPUT_DIR}/data"
"""


def put_job(clone: Clone, name: str, config: dict[str, Any], script: str) -> None:
    whole = json.dumps({"training-job-name": f"e2e-{name}", **config})
    clone.put_job(name, {"training-config.json": whole, "trainer-script.sh": script})


def all_that_is_stored(clone: Clone, stack_id: str, instance_id: str) -> Iterator[str]:
    """Yield what buckets hold in all versions, and table, stack, logs and the machine's console."""
    s3 = clone.client("s3")
    for bucket in (clone.outputs["config_bucket"], clone.outputs["results_bucket"]):
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for one in page.get("Versions", []):
                version = {"Key": one["Key"], "VersionId": one["VersionId"]}
                body = s3.get_object(Bucket=bucket, **version)["Body"].read()
                yield body.decode(errors="replace")
    yield instances.read_console(clone.client("ec2"), instance_id)
    table = clone.outputs["ledger_table"]
    for page in clone.client("dynamodb").get_paginator("scan").paginate(TableName=table):
        yield json.dumps(page["Items"])
    cloudformation = clone.client("cloudformation")
    yield json.dumps(cloudformation.get_template(StackName=stack_id)["TemplateBody"])
    yield json.dumps(cloudformation.describe_stacks(StackName=stack_id)["Stacks"], default=str)
    logs = clone.client("logs")
    for page in logs.get_paginator("describe_log_groups").paginate():
        for group in page["logGroups"]:
            name = group["logGroupName"]
            for found in logs.get_paginator("filter_log_events").paginate(logGroupName=name):
                yield json.dumps(found["events"])


def decoded(text: str) -> str:
    """Return what base64 in `text` may say, as the user data in a template, wherever it begins."""
    runs = re.findall(r"[A-Za-z0-9+/]{40,}", text)
    parts = [run[start:] for run in runs for start in range(4)]
    whole = [part[: len(part) // 4 * 4] for part in parts]
    return "\n".join(base64.b64decode(part).decode(errors="replace") for part in whole)


def test_data_and_secrets_are_there_and_nothing_keeps_a_secret(clone: Clone) -> None:
    clone.client("ssm").put_parameter(Name="/team/key", Value=WORD, Type="SecureString")
    held = json.dumps({"user": "me", "password": OTHER})
    clone.client("secretsmanager").create_secret(Name="team/db", SecretString=held)
    s3 = clone.client("s3")
    s3.create_bucket(Bucket="e2e-pictures")
    for key, body in (("train/deep/a", b"one\n"), ("b", b"two\n"), ("private/c", b"three\n")):
        s3.put_object(Bucket="e2e-pictures", Key=key, Body=body)
    data = [
        {"s3": "s3://e2e-pictures/train/", "to": "data/train"},
        {"s3": "s3://e2e-pictures/b"},
    ]
    secrets = {"KEY": "ssm:/team/key", "PASSWORD": "secretsmanager:team/db#password"}
    put_job(clone, "inputs", {"data": data, "secrets": secrets, "keep-stack": "always"}, SCRIPT)
    topic = clone.listen("inputs")
    answer = clone.invoke({"job": "inputs"})
    run_id, stack_id = answer["run-id"], answer["stack-id"]
    outcome = clone.outcome("inputs", run_id)
    assert outcome["state"] == "succeeded", outcome["reason"]
    assert clone.read("inputs", run_id, "output/data") == b"one\ntwo\n"
    digest = hashlib.sha256((WORD + OTHER).encode()).hexdigest()
    assert (clone.read("inputs", run_id, "output/digest") or b"").decode().split()[0] == digest
    log = (clone.read("inputs", run_id, "log.txt") or b"").decode()
    assert log.startswith("parris: s3://e2e-pictures/train/, s3://e2e-pictures/b: about ")
    (ended,) = wait_for(lambda: topic.heard("succeeded", "inputs"), 60)
    console = instances.read_console(clone.client("ec2"), outcome["instance-id"])
    assert "parris" in console  # there is something to look at
    stored = list(all_that_is_stored(clone, stack_id, outcome["instance-id"]))
    stored += [json.dumps(told) for told in (*topic.heard("started", "inputs"), ended)]
    stored += [decoded(text) for text in stored]
    assert any("ssm:/team/key" in text for text in stored)  # the reference, in the receipt
    assert any(f"PARRIS_RUN_ID={run_id}" in text for text in stored)  # in the user data
    assert not [text[:200] for text in stored if WORD in text or OTHER in text]


def test_what_machines_may_not_read_ends_a_run_before_it_begins(clone: Clone) -> None:
    clone.client("ssm").put_parameter(Name="/other/key", Value=WORD, Type="SecureString")
    for name, config, what, variable in (
        (
            "denied-data",
            {"data": [{"s3": "s3://e2e-pictures/private/"}]},
            "s3://e2e-pictures/private/",
            "data_sources",
        ),
        (
            "denied-secret",
            {"secrets": {"KEY": "ssm:/other/key"}},
            "the secret KEY (ssm:/other/key)",
            "secret_arns",
        ),
    ):
        put_job(clone, name, config, "#!/bin/bash\necho trained\n")
        run_id = clone.invoke({"job": name})["run-id"]
        outcome = clone.outcome(name, run_id)
        assert outcome["state"] == "failed"
        assert outcome["reason"].startswith(f"{what} could not be fetched: ")
        assert "AccessDenied" in outcome["reason"]
        assert outcome["reason"].endswith(f"to the Terraform variable {variable}, and apply")


def test_a_shell_opens_in_the_machines_folder(clone: Clone) -> None:
    put_job(
        clone, "looked-into", {}, "#!/bin/bash\necho here; until [[ -e end ]]; do sleep 1; done\n"
    )
    run_id = clone.invoke({"job": "looked-into"})["run-id"]
    shell = ("shell", "LOCAL=1", f"RUN={run_id}")
    wait_for(lambda: "the machine of run" in clone.make(*shell, check=False).stderr, 60)
    words = "cat source/trainer-script.sh; touch source/end; exit 3\n"
    said = subprocess.run(
        [str(clone.folder / "parris"), "shell", run_id, "--local"],
        input=words,
        env={**os.environ, "SHELL": "/bin/bash"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "until [[ -e end ]]" in said.stdout
    assert said.returncode == 3
    assert clone.outcome("looked-into", run_id)["state"] == "succeeded"
    refused = clone.make(*shell, check=False)
    assert f"run {run_id} of job looked-into is over: succeeded" in refused.stderr
