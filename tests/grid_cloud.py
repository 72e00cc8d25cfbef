"""CloudFormation and S3 as far as a simulated grid meets them: stacks, and how their runs ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from tests.faults.chance import Chance
from tests.plans import NOW

DEPLOYMENT = "parris"


@dataclass(kw_only=True)
class Cloud:
    """Each call may go wrong by chance; nobody but `end` takes a stack away."""

    chance: Chance
    began: Callable[[str], None]
    """Told of each run whose stack is made."""
    calls: Counter[str] = field(default_factory=Counter)
    standing: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Stacks by their names."""
    gone: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """By their ids, those whose runs are over."""
    outcomes: dict[str, Any] = field(default_factory=dict)
    """By the prefixes of their runs' objects; stored before the stack goes."""

    def end(self, name: str, prefix: str, outcome: Any) -> None:
        """Let a run end."""
        self.outcomes[prefix] = outcome
        stack = self.standing.pop(name)
        self.gone[stack["StackId"]] = {**stack, "StackStatus": "DELETE_COMPLETE"}

    # --- CloudFormation, by boto3's names

    def create_stack(self, *, StackName: str, Tags: Any, **_: Any) -> Any:  # noqa: N803
        def make() -> Any:
            if StackName in self.standing:
                raise _error("AlreadyExistsException", f"Stack [{StackName}] already exists")
            tags = {tag["Key"]: tag["Value"] for tag in Tags}
            stack = {
                **{"StackName": StackName, "StackId": f"arn:stack/{tags['parris:run-id']}"},
                **{"StackStatus": "CREATE_COMPLETE", "CreationTime": NOW, "Tags": Tags},
            }
            self.standing[StackName] = stack
            self.began(tags["parris:run-id"])
            return {"StackId": stack["StackId"]}

        return self._call("CreateStack", make)

    def describe_stacks(self, *, StackName: str) -> Any:  # noqa: N803
        def find() -> Any:
            found = self.standing.get(StackName) or self.gone.get(StackName)
            found = found or self.standing.get(self._name_of(StackName))
            if found is None:
                raise _error("ValidationError", f"Stack with id {StackName} does not exist")
            return {"Stacks": [found]}

        return self._call("DescribeStacks", find)

    def _name_of(self, stack_id: str) -> str:
        stands = (name for name, one in self.standing.items() if one["StackId"] == stack_id)
        return next(stands, "")

    def get_paginator(self, operation: str) -> Any:
        """Return pages of all stacks, or of the events of one, of which CloudFormation has none."""

        def paginate(**_: Any) -> Iterator[Any]:
            stacks = list(self.standing.values()) if operation == "describe_stacks" else []
            yield self._call(operation, lambda: {"Stacks": stacks, "StackEvents": []})

        return SimpleNamespace(paginate=paginate)

    # --- S3, as parris.aws.results has it

    def read_outcome(self, prefix: str) -> Any:
        return self._call("GetObject", lambda: self.outcomes.get(prefix))

    def has_begun(self, prefix: str) -> bool:
        return bool(self._call("HeadObject", lambda: prefix in self.outcomes))

    def has_receipt(self, prefix: str) -> bool:
        return bool(self._call("HeadObject", lambda: bool(prefix)))

    def change_receipt(self, prefix: str, _change: Any) -> None:
        self._call("PutObject", lambda: prefix)

    def _call(self, operation: str, do: Callable[[], Any]) -> Any:
        self.calls[operation] += 1
        return self.chance.call(do)


def _error(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Call")
