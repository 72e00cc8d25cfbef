"""What a deployment says of all its machines: where they go, which types and images it allows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256

DEFAULT_OWNER = "amazon"
"""Owner of the images behind AWS's public SSM parameters, as ec2:Owner has it."""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The Terraform variables of that name, empty where they say nothing."""

    subnets: Sequence[str] = ()
    groups: Sequence[str] = ()
    types: Sequence[str] = ()
    """Patterns as IAM's StringLike reads them; the stack's role refuses others too."""
    owners: Sequence[str] = ()
    volume_key: str = ""
    """ARN of the KMS key of volumes; empty for the account's default."""

    def subnets_for(self, run_id: str) -> Sequence[str]:
        """Return the subnets, rotated by run id, so that runs begin in different ones.

        They are the same for the same run however often it is asked for.
        """
        first = int(sha256(run_id.encode()).hexdigest(), 16) % max(1, len(self.subnets))
        return [*self.subnets[first:], *self.subnets[:first]]

    def refusals(self, instance_type: str, image: str) -> list[str]:
        """Return why a machine of that type and image may not be launched here."""
        problems = []
        if self.types and not any(fnmatchcase(instance_type, one) for one in self.types):
            problems.append(
                f'instance-type: "{instance_type}" is not one of {", ".join(self.types)}, which '
                "this deployment allows (Terraform variable allowed_instance_types)"
            )
        # Whose an ami-… is, is known to EC2: it refuses the stack's role.
        if self.owners and DEFAULT_OWNER not in self.owners and not image.startswith("ami-"):
            problems.append(
                f"image: {image} is AWS's, and this deployment allows images of "
                f"{', '.join(self.owners)} (Terraform variable allowed_image_owners); name one "
                "of theirs (ami-…)"
            )
        return problems


def fill_slots(template: str, tags: Mapping[str, str], volume_key: str) -> str:
    """Return `template` with the deployer's tags, and their key, where it has a comment for them.

    CloudFormation gives a stack's tags to its instance only, not to what that brings: volumes and
    interfaces take theirs from the launch template. A template without the comments stays as it is.
    """
    # A tag named twice is refused; JSON's strings are YAML's.
    own = [
        f"- {{ Key: {_quoted(key)}, Value: {_quoted(value)} }}"
        for key, value in tags.items()
        if key != "Name" and not key.startswith("parris:")
    ]
    lines = {"tags": own, "volume-key": [f"KmsKeyId: {_quoted(volume_key)}"] * bool(volume_key)}

    def filled(slot: re.Match[str]) -> str:
        return "".join(f"{slot[1]}{line}\n" for line in lines[slot[2]])

    return re.sub(r"^( *)# \{\{(tags|volume-key)\}\}\r?\n", filled, template, flags=re.MULTILINE)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
