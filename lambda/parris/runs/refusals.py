"""What EC2's refusal of a machine says of other machines: a table, by the texts of its errors.

CloudFormation hands a refusal on as a message and a HandlerErrorCode, perhaps without EC2's own
code, so the text counts too. Sources: EC2 API reference, "Error codes for the Amazon EC2 API"; EC2
user guide, "Troubleshoot instance launch issues"; Karpenter, pkg/errors; aws-parallelcluster-node
673. The texts as they were seen in the field are in tests/data/ec2-refusals.json.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ..jobs.retry import SPOT
from .ladder import Rung


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One reason for which EC2 refuses machines."""

    word: str
    rules_out: Callable[[Rung, Rung], bool]
    """Whether the refusal of the first rung makes it needless to ask for the second."""
    passes: bool
    """Whether it may be over in some minutes."""


def _kind(refused: Rung, other: Rung) -> bool:
    return refused.instance_type == other.instance_type


def _market(refused: Rung, other: Rung) -> bool:
    return refused.market == other.market


def _place(refused: Rung, other: Rung) -> bool:
    # Where EC2 chose the place it tried one; which is not said.
    return refused.subnet_id == other.subnet_id


def _family(refused: Rung, other: Rung) -> bool:
    family, other_family = (rung.instance_type.partition(".")[0] for rung in (refused, other))
    return family == other_family


CAPACITY = Cause(
    word="capacity",
    rules_out=lambda rung, other: (
        _kind(rung, other) and _market(rung, other) and _place(rung, other)
    ),
    passes=True,
)
SPOT_PRICE = Cause(word="spot-price", rules_out=CAPACITY.rules_out, passes=True)
NOT_OFFERED = Cause(
    word="not-offered",
    rules_out=lambda rung, other: _kind(rung, other) and _place(rung, other),
    passes=False,
)
ADDRESSES = Cause(word="addresses", rules_out=_place, passes=True)
SPOT_QUOTA = Cause(word="spot-quota", rules_out=lambda _, other: other.market == SPOT, passes=False)
QUOTA = Cause(
    word="quota",
    rules_out=lambda rung, other: _family(rung, other) and _market(rung, other),
    passes=False,
)
LATER = Cause(word="later", rules_out=lambda _, __: False, passes=True)
"""EC2 itself was not well: the same rung again, in a while."""
FOR_GOOD = Cause(word="", rules_out=lambda _, __: True, passes=False)
"""No machine of any rung would be granted, or nobody knows: a person has to look."""

_TABLE: tuple[tuple[str, Cause], ...] = (
    # A key that may not be used, an image or a group that does not exist: before all that follows,
    # whose words they may contain.
    (r"Client\.InternalError|OptInRequired|\bBlocked\b|PendingVerification", FOR_GOOD),
    (r"UnauthorizedOperation|not authorized to perform|AccessDenied|\bInvalid[A-Z]\w+", FOR_GOOD),
    # It was granted, and taken before CloudFormation saw it run.
    (r"Server\.Spot[A-Z]\w+", CAPACITY),
    (r"SpotMaxPriceTooLow|Spot request price .{0,40}is lower than", SPOT_PRICE),
    (r"MaxSpotInstanceCountExceeded|[Mm]ax spot instance count exceeded", SPOT_QUOTA),
    (r"VcpuLimitExceeded|InstanceLimitExceeded|current (vCPU|instance) limit", QUOTA),
    (r"InsufficientFreeAddressesInSubnet|enough free addresses", ADDRESSES),
    (r"Insufficient(Instance|Host)?Capacity|sufficient .{0,60}capacity", CAPACITY),
    (
        r"UnfulfillableCapacity|[Nn]o (Spot )?capacity available|Unable to fulfill capacity",
        CAPACITY,
    ),
    (r"not supported in your requested Availability Zone", NOT_OFFERED),
    (r"Unsupported.{0,80}Availability Zone", NOT_OFFERED),
    (r"RequestLimitExceeded|Request limit exceeded|Throttling|Rate exceeded", LATER),
    (r"InternalError|[Ii]nternal error|\b[Uu]navailable\b|ServiceUnavailable", LATER),
)


def cause_of(text: str) -> Cause:
    """Return why a machine was refused, by what CloudFormation or EC2 says of it."""
    # CloudFormation's own code for the handler says less than EC2's text, and may mislead.
    said = re.sub(r"HandlerErrorCode: \w+", "", text)
    return next((cause for words, cause in _TABLE if re.search(words, said)), FOR_GOOD)


CAUSES = {
    cause.word: cause
    for cause in (CAPACITY, SPOT_PRICE, NOT_OFFERED, ADDRESSES, SPOT_QUOTA, QUOTA, LATER, FOR_GOOD)
}
"""By their words, as the ledger holds them."""
