"""DescribeInstanceTypes as EC2 answers it: MiniStack has every type that anybody asks for.

A type that does not exist is refused by name (EC2 API reference, "Error codes for the Amazon EC2
API", InvalidInstanceType). Those of the price table exist, all others do not.
"""

from __future__ import annotations

from typing import Any

from ministack.services import ec2

from scripts.jobs import price_table


def register() -> None:
    """Put the refusal before MiniStack's answer."""
    describe = ec2._ACTION_MAP["DescribeInstanceTypes"]

    def describe_instance_types(parameters: dict[str, Any]) -> Any:
        asked = ec2._parse_member_list(parameters, "InstanceType")
        if unknown := [name for name in asked if name not in price_table.HOURLY_USD]:
            message = f"The following supplied instance types do not exist: [{', '.join(unknown)}]"
            return ec2._error("InvalidInstanceType", message, 400)
        return describe(parameters)

    ec2._ACTION_MAP["DescribeInstanceTypes"] = describe_instance_types
