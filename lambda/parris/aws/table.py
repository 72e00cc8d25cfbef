"""DynamoDB: the items of the ledger, each changed under a condition in one call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Read = TypeVar("Read")

FORGOTTEN = timedelta(days=30)

Item = dict[str, Any]
"""By attribute: text, whole numbers, and maps of these."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """The one table of a deployment; an item's key is `(pk, sk)`."""

    dynamodb: Callable[[], DynamoDBClient]
    name: str

    def get(self, pk: str, sk: str) -> Item | None:
        """Return an item as it is at this moment; None if there is none."""
        answer = self.dynamodb().get_item(
            TableName=self.name, Key=_key(pk, sk), ConsistentRead=True
        )
        return _plain(answer.get("Item"))

    def put_new(self, pk: str, sk: str, item: Mapping[str, Any]) -> Item | None:
        """Put an item where there is none; return the one that is there instead, if one is.

        A put whose answer was lost is sent again by botocore and meets its own effect. So whoever
        must know puts something of their own into `item`.
        """
        whole = {"pk": pk, "sk": sk, **item}
        try:
            self.dynamodb().put_item(
                TableName=self.name,
                Item={name: _write(value) for name, value in whole.items()},
                ConditionExpression="attribute_not_exists(pk)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            return _refused(error) or {}
        return None

    def change(
        self,
        pk: str,
        sk: str,
        changes: Mapping[str, Any],
        condition: str = "attribute_exists({pk})",
        adds: Mapping[str, int] | None = None,
        **values: Any,
    ) -> tuple[bool, Item | None]:
        """Change attributes of an item if `condition` holds.

        Args:
            changes: new values by name, or by path (``map/entry``); None removes what is there.
            condition: an expression in which attributes stand as ``{name}`` or ``{map/entry}``
                and values as ``:name``.
            adds: what is added to whole numbers, by the names of attributes.
            values: the condition's.

        Returns:
            Whether it was changed, and the item: as it is now, or as it was if it was not
            changed; None if there is none.
        """
        names = _Names()
        given = {name: value for name, value in changes.items() if value is not None}
        sets = ", ".join(f"{names[name]} = :new{i}" for i, name in enumerate(given))
        removes = ", ".join(names[name] for name in changes if name not in given)
        plus = ", ".join(f"{names[name]} :add{i}" for i, name in enumerate(adds or {}))
        where = condition.format_map(names)
        sent = {f":new{i}": value for i, value in enumerate(given.values())}
        sent |= {f":add{i}": value for i, value in enumerate((adds or {}).values())}
        sent |= {f":{name}": value for name, value in values.items()}
        expression = [
            sets and f"SET {sets}",
            removes and f"REMOVE {removes}",
            plus and f"ADD {plus}",
        ]
        arguments: dict[str, Any] = {
            "ExpressionAttributeValues": {name: _write(value) for name, value in sent.items()}
        }
        try:
            answer = self.dynamodb().update_item(
                TableName=self.name,
                Key=_key(pk, sk),
                UpdateExpression=" ".join(filter(None, expression)),
                ConditionExpression=where,
                ExpressionAttributeNames=names.placeholders,
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **(arguments if sent else {}),
            )
        except ClientError as error:
            return False, _refused(error)
        return True, _plain(answer["Attributes"])

    def delete(self, pk: str, sk: str, condition: str, **values: Any) -> bool:
        """Delete an item if `condition` (see `change`) holds; return whether it did."""
        names = _Names()
        try:
            self.dynamodb().delete_item(
                TableName=self.name,
                Key=_key(pk, sk),
                ConditionExpression=condition.format_map(names),
                ExpressionAttributeNames=names.placeholders,
                ExpressionAttributeValues={f":{k}": _write(value) for k, value in values.items()},
            )
        except ClientError as error:
            _refused(error)
            return False
        return True

    def query(
        self,
        pk: str,
        *,
        begins_with: str = "",
        before: str = "",
        since: str = "",
        index: str = "",
        page: int | None = None,
        among: tuple[str, Sequence[str]] | None = None,
        containing: tuple[str, str] | None = None,
    ) -> Iterator[Item]:
        """Return the items of one partition in the order of their sort keys.

        Args:
            begins_with: the beginning of their sort keys.
            before: what their sort keys are less than.
            since: the least that these may be; goes with `before`.
            index: whose partition it is; the table's own if empty. What an index holds may be a
                second or so old (DynamoDB developer guide, "Global secondary indexes").
            page: items per call; the order is then descending.
            among: an attribute, and the values of which it has one in what is returned; the others
                are read all the same, after the first page as many a call as DynamoDB reads.
            containing: a text attribute, and what stands in it in what is returned; not with
                `among`.
        """
        key = index or "pk"
        arguments: dict[str, Any] = {
            "TableName": self.name,
            "KeyConditionExpression": "#key = :key",
            "ExpressionAttributeNames": {"#key": key},
            "ExpressionAttributeValues": {":key": _write(pk)},
            "ScanIndexForward": page is None,
        }
        if begins_with:
            arguments["KeyConditionExpression"] += " AND begins_with(sk, :beginning)"
            arguments["ExpressionAttributeValues"][":beginning"] = _write(begins_with)
        if before:
            between = " AND sk BETWEEN :since AND :before" if since else " AND sk < :before"
            arguments["KeyConditionExpression"] += between
            arguments["ExpressionAttributeValues"][":before"] = _write(before)
        if since:
            arguments["ExpressionAttributeValues"][":since"] = _write(since)
        if among:
            sought = {f":sought{number}": _write(each) for number, each in enumerate(among[1])}
            arguments["FilterExpression"] = f"#among IN ({', '.join(sought)})"
            arguments["ExpressionAttributeNames"]["#among"] = among[0]
            arguments["ExpressionAttributeValues"] |= sought
        if containing:
            arguments["FilterExpression"] = "contains(#containing, :containing)"
            arguments["ExpressionAttributeNames"]["#containing"] = containing[0]
            arguments["ExpressionAttributeValues"][":containing"] = _write(containing[1])
        if index:
            arguments["IndexName"] = index
        else:
            arguments["ConsistentRead"] = True
        if page is not None:
            arguments["Limit"] = page
        while True:
            answer = self.dynamodb().query(**arguments)
            for item in answer["Items"]:
                yield _plain(item) or {}
            if "LastEvaluatedKey" not in answer:
                return
            arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
            if among:
                arguments.pop("Limit", None)


def expiry(now: datetime) -> Item:
    """Return when DynamoDB may forget an item: no delivery is that late."""
    return {"expires": int((now + FORGOTTEN).timestamp())}


def to_text(value: object) -> str:
    """Return `value` as JSON, in UTF-8 without escapes: an item has 400 KB.

    `Ledger.claimed_in` looks for a key and its value as they stand there, with ": " between them.
    """
    return json.dumps(value, ensure_ascii=False)


def read_each(items: Iterator[Item], read: Callable[[Item], Read]) -> tuple[list[Read], list[str]]:
    """Return what `read` makes of items, and what is wrong with those of which it makes nothing."""
    found: list[Read] = []
    problems = []
    for item in items:
        try:
            found.append(read(item))
        except Exception as error:  # noqa: BLE001 - one item of any shape stops no other
            problems.append(f"{item.get('pk')} {item.get('sk')}: {error!r}")
    return found, problems


class _Names(dict[str, str]):
    """Placeholders for attributes by name or path: a name may be a word of DynamoDB's own."""

    def __init__(self) -> None:
        self.placeholders: dict[str, str] = {}

    def __missing__(self, path: str) -> str:
        steps = path.split("/")
        known = {name: placeholder for placeholder, name in self.placeholders.items()}
        for step in steps:
            known.setdefault(step, f"#n{len(known)}")
        self.placeholders = {placeholder: name for name, placeholder in known.items()}
        self[path] = ".".join(known[step] for step in steps)
        return self[path]


def _key(pk: str, sk: str) -> dict[str, Any]:
    return {"pk": _write(pk), "sk": _write(sk)}


def _plain(item: Mapping[str, Any] | None) -> Item | None:
    return None if item is None else {name: _read(value) for name, value in item.items()}


def _write(value: str | int | Mapping[str, Any]) -> Any:
    # boto3 has a serializer for all types, whose import costs a cold start about 60 ms.
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, int):
        return {"N": str(value)}
    return {"M": {name: _write(inner) for name, inner in value.items()}}


def _read(value: Mapping[str, Any]) -> Any:
    if "S" in value:
        return value["S"]
    if "N" in value:
        return int(value["N"])
    if "M" in value:
        return {name: _read(inner) for name, inner in value["M"].items()}
    return None  # nothing of ours; whoever needs it finds it missing


def _refused(error: ClientError) -> Item | None:
    """Return the item that did not meet a condition; raise whatever else `error` says."""
    if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
        raise error
    item: Any = error.response.get("Item")
    return _plain(item)
