"""The machines that would do for a run, in the order in which EC2 is asked for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .documents import LadderRecord, Receipt, RungRecord


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One kind of machine, bought in one way, in one place."""

    instance_type: str
    market: str
    subnet_id: str
    """Empty for one of the default VPC's, which EC2 chooses."""

    def record(self) -> RungRecord:
        """Return it as ``run.json`` and the ledger hold it."""
        return {
            "instance-type": self.instance_type,
            "market": self.market,
            "subnet-id": self.subnet_id,
        }


def read_rung(held: Mapping[str, Any]) -> Rung:
    """Return the rung that a ``run.json``, or an attempt of the ledger, holds."""
    return Rung(
        instance_type=str(held["instance-type"]),
        market=str(held["market"]),
        subnet_id=str(held.get("subnet-id", "")),
    )


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """All rungs: another place comes before another type, and that before another market."""

    instance_types: Sequence[str]
    markets: Sequence[str]
    subnets: Sequence[str]
    """None for the default VPC."""

    def rungs(self, offered: Mapping[str, Sequence[str]] | None = None) -> list[Rung]:
        """Return the rungs in the order in which they are tried.

        Args:
            offered: by type the subnets whose zone has it, as far as EC2 was asked; they take the
                place of the default VPC's one that EC2 chooses, and thin the others out.
        """
        return [
            Rung(instance_type=kind, market=market, subnet_id=subnet)
            for market in self.markets
            for kind in self.instance_types
            for subnet in self._places(kind, offered or {})
        ]

    def _places(self, kind: str, offered: Mapping[str, Sequence[str]]) -> Sequence[str]:
        known = offered.get(kind)
        if known is None:
            return self.subnets or ("",)
        if not self.subnets:
            return known
        return [subnet for subnet in self.subnets if subnet in known]

    def record(self) -> LadderRecord:
        """Return it as ``run.json`` holds it."""
        return {
            "instance-types": list(self.instance_types),
            "markets": list(self.markets),
            "subnets": list(self.subnets),
        }


def read_ladder(receipt: Receipt) -> Ladder:
    """Return what a ``run.json`` holds of it; one of an older version has the one rung it is on."""
    held = receipt.get("ladder")
    if held is None:
        rung = read_rung(receipt)
        return Ladder(
            instance_types=[rung.instance_type],
            markets=[rung.market],
            subnets=[rung.subnet_id] if rung.subnet_id else [],
        )
    return Ladder(
        instance_types=held["instance-types"], markets=held["markets"], subnets=held["subnets"]
    )
