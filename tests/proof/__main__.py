"""Prove the permissions: ``make prove`` prints grants beside needs, mutations, result."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from tests.proof import authorization, deployed, linters
from tests.proof.proof import prove


def main() -> int:
    """Deploy on an embedded cloud, judge every policy, and print what was found."""
    with deployed.deployment() as state:
        policies = deployed.read(state)
    proof = prove(policies)
    problems = [*proof.problems, *_stale(), *linters.problems(policies)]
    print("\n".join([*proof.grants, "", *proof.mutations, ""]))
    for survivor in proof.survivors:
        print(f"survived: {survivor}")
    for problem in problems:
        print(f"problem: {problem}")
    if proof.excused:
        print(f"{proof.excused} mutations excused, with reasons, in tests/proof/excused.json")
    print(f"{proof.refusals} refusals held" if not problems else f"{len(problems)} problems")
    print(proof.summary)
    return 0 if proof.holds and not problems else 1


def _stale() -> Iterator[str]:
    if authorization.extract(authorization.named()) != authorization.read():
        yield (
            "tests/proof/authorization.json is not what the tables name; run "
            "python -m tests.proof.authorization"
        )


if __name__ == "__main__":
    sys.exit(main())
