"""The ledger's table as main.tf has it, for tests on moto."""

from __future__ import annotations

from typing import Any

import boto3

from parris.aws.ledger import Ledger
from parris.aws.table import Table
from tests.plans import NOW

NAME = "parris-ledger"


def make_table(client: Any = None, name: str = NAME) -> Table:
    """Make the table; return it, reached by `client`, if there is one."""
    client = client or boto3.client("dynamodb", region_name="us-east-1")
    keys: Any = [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ]
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=keys,
        AttributeDefinitions=[
            {"AttributeName": attribute, "AttributeType": "S"}
            for attribute in ("pk", "sk", "open", "kind")
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": index,
                "KeySchema": [{"AttributeName": index, "KeyType": "HASH"}, keys[1]],
                "Projection": {"ProjectionType": "ALL"},
            }
            for index in ("open", "kind")
        ],
    )
    return table_of(client, name)


def table_of(client: Any, name: str = NAME) -> Table:
    """Return the table, which is there, reached by `client`."""
    return Table(dynamodb=lambda: client, name=name)


def note_run(table: Table, receipt: Any, outcome: Any = None) -> None:
    """Put a run into the ledger as its receipt and outcome say."""
    Ledger(table).adopt(receipt["job"], receipt["run-id"], receipt, outcome, NOW)
