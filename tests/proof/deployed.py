"""The policies of a deployment as they were applied, from Terraform's state."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.local import cloud, owners

ROOT = Path(__file__).resolve().parents[2]

Document = dict[str, Any]

APPLY_SECONDS = 240

VARIABLES: dict[str, Any] = {
    "instance_role_names": ["another-machine"],
    "schedules": {"nightly": {"expression": "rate(1 day)", "job": "default"}},
    "data_triggers": {"fresh": {"bucket": "arrivals", "prefix": "in/", "job": "default"}},
    "kms_key_arn": "arn:aws:kms:us-east-1:000000000000:key/ours",
    "ebs_kms_key_arns": ["arn:aws:kms:us-east-1:000000000000:key/of-volumes"],
    "allowed_instance_types": ["t3.*", "c7g.large"],
    "allowed_image_owners": ["amazon", "123456789012"],
    "secret_arns": [
        "arn:aws:ssm:us-east-1:000000000000:parameter/team/*",
        "arn:aws:secretsmanager:us-east-1:000000000000:secret:team/*",
        "arn:aws:kms:us-east-1:000000000000:key/of-secrets",
    ],
    "data_sources": ["s3://pictures/train/", "s3://pictures/test.csv"],
    "shell": True,
    "vpc_subnet_ids": ["subnet-0"],
    "vpc_security_group_ids": ["sg-0"],
}
"""Every option that adds to a policy."""


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """Policy documents by principal and name, and what the tables' placeholders stand for."""

    policies: Mapping[str, Mapping[str, Document]]
    places: Mapping[str, str]


@contextmanager
def deployment() -> Iterator[Path]:
    """Deploy on an embedded cloud of its own, every option on; yield the state's file."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        variables = home / "proof.tfvars.json"
        variables.write_text(json.dumps(VARIABLES))
        owners.own()
        cloud.up(home, port=0)
        try:
            applied = subprocess.run(
                [
                    *(
                        sys.executable,
                        "-m",
                        "scripts.deployment.terraform",
                        "apply",
                        "--quiet",
                        "--yes",
                    ),
                    f"-var-file={variables}",
                ],
                cwd=ROOT,
                env=os.environ | {"LOCAL": "1", "PARRIS_LOCAL_HOME": str(home)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=APPLY_SECONDS,
            )
            if applied.returncode:
                raise AssertionError(f"terraform apply\n{applied.stdout}\n{applied.stderr}")
            yield home / "terraform.tfstate"
        finally:
            cloud.down(home)


def read(state: Path) -> Deployed:
    """Return what a state file holds of policies, those of services and of outputs included."""
    content = json.loads(state.read_text())
    outputs = {name: item["value"] for name, item in content["outputs"].items()}
    found = [
        (item["type"], each["attributes"])
        for item in content["resources"]
        if item["mode"] == "managed"
        for each in item["instances"]
    ]
    name, region = outputs["deployment"], outputs["region"]

    def short(role: str) -> str:
        return role.rpartition("/")[2].removeprefix(f"{name}-").removesuffix(f"-{region}")

    policies: dict[str, dict[str, Document]] = {
        principal: {"output": json.loads(outputs[f"{principal}_policy"])}
        for principal in ("caller", "operator")
    }
    for kind, has in found:
        if kind == "aws_iam_role_policy":
            policies.setdefault(short(has["role"]), {})[has["name"]] = json.loads(has["policy"])
        elif kind == "aws_iam_role":
            trust = json.loads(has["assume_role_policy"])
            policies.setdefault("trust", {})[short(has["name"])] = _of_services(trust, has["arn"])
        elif kind == "aws_s3_bucket_policy":
            policies.setdefault("bucket", {})[has["bucket"]] = json.loads(has["policy"])
        elif kind == "aws_lambda_permission":
            function = short(has["function_name"].rpartition(":")[2])
            document = _of_permission(has, region, outputs["account_id"])
            policies.setdefault("invoke", {})[f"{function}: {has['statement_id']}"] = document
    places = {
        "deployment": name,
        "region": region,
        "account": outputs["account_id"],
        "config": f"arn:aws:s3:::{outputs['config_bucket']}",
        "results": f"arn:aws:s3:::{outputs['results_bucket']}",
    }
    return Deployed(policies=policies, places=places)


def _of_services(trust: Document, role: str) -> Document:
    """Return a trust policy as one about the role, its principals as a condition.

    aws:PrincipalServiceName is the service that makes the request (IAM user guide, "AWS global
    condition context keys").
    """
    statements = []
    for statement in trust["Statement"]:
        rest = {key: value for key, value in statement.items() if key != "Principal"}
        rest["Condition"] = {
            **statement.get("Condition", {}),
            "ForAnyValue:StringEquals": {
                "aws:PrincipalServiceName": statement["Principal"]["Service"]
            },
        }
        statements.append({**rest, "Resource": role})
    return {"Statement": statements}


def _of_permission(has: Mapping[str, Any], region: str, account: str) -> Document:
    """Return the statement that AddPermission makes (Lambda API reference, "AddPermission")."""
    function = has["function_name"].rpartition(":")[2]
    condition: dict[str, dict[str, str]] = {
        "ForAnyValue:StringEquals": {"aws:PrincipalServiceName": has["principal"]}
    }
    if has.get("source_arn"):
        condition["ArnLike"] = {"aws:SourceArn": has["source_arn"]}
    if has.get("source_account"):
        condition["StringEquals"] = {"aws:SourceAccount": has["source_account"]}
    statement = {
        "Sid": has["statement_id"],
        "Effect": "Allow",
        "Action": has["action"],
        "Resource": f"arn:aws:lambda:{region}:{account}:function:{function}",
        "Condition": condition,
    }
    return {"Statement": [statement]}
