"""Which AWS service may take on which role."""

from tests.proof.table import Rows

_ROLE = "arn:aws:iam::{account}:role/{deployment}"
_SERVICES = {
    "launch": "lambda",
    "reap": "lambda",
    "stack": "cloudformation",
    "scheduler": "scheduler",
    "instance": "ec2",
    "iot": "iot",
}


def _from(service: str, account: str = "{account}") -> dict[str, object]:
    return {
        "aws:PrincipalServiceName": [f"{service}.amazonaws.com"],
        "aws:SourceAccount": account,
    }


NEEDS: Rows = [
    (
        "sts:AssumeRole",
        f"{_ROLE}-{role}-{{region}}",
        f"{service}, to work for the deployment",
        _from(service),
        "services of the embedded cloud make sessions without a call",
    )
    for role, service in _SERVICES.items()
]

REFUSALS: Rows = [
    *(
        (
            "sts:AssumeRole",
            [f"{_ROLE}-{role}-{{region}}", "arn:aws:iam::{account}:role/admin"],
            "another service",
            _from("sagemaker"),
        )
        for role in _SERVICES
    ),
    *(
        ("sts:AssumeRole", "arn:aws:iam::{account}:role/admin", "another role", _from(service))
        for service in sorted({*_SERVICES.values()})
    ),
    (
        "sts:AssumeRole",
        f"{_ROLE}-scheduler-{{region}}",
        "a schedule of another account (EventBridge Scheduler user guide, 'Confused deputy')",
        _from("scheduler", "111111111111"),
    ),
]
