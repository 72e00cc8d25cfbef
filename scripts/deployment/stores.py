"""Where a deployment keeps its runs: the buckets and the ledger."""

from __future__ import annotations

from parris.aws.ledger import Ledger
from parris.aws.results import Results
from parris.aws.table import Table
from scripts.deployment.outputs import Deployment


def storage_of(deployment: Deployment) -> Results:
    return Results(
        s3=deployment.client("s3"),
        config_bucket=deployment.config_bucket,
        results_bucket=deployment.results_bucket,
    )


def ledger_of(deployment: Deployment) -> Ledger:
    dynamodb = deployment.client("dynamodb")
    return Ledger(Table(dynamodb=lambda: dynamodb, name=deployment.ledger_table))
