"""Inject every fault into every call, and print what did not hold: `make faults`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from itertools import chain

from tests.faults import plan
from tests.faults.case import Case

TODAY = datetime.now(UTC).toordinal()
AT_A_TIME = 20
"""Cases that a process plays before it sets a scene up again."""


def main() -> int:
    """Return 1 if anything did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--share", type=_share, default=1.0, help="of all cases, between 0 and 1; %(default)s"
    )
    parser.add_argument(
        "--seed", type=int, default=TODAY, help="which of them; %(default)s, that of today"
    )
    parser.add_argument(
        "--scene", action="append", choices=plan.SCENES, metavar="SCENE", help="not all of them"
    )
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    counts: Counter[str] = Counter()
    violations = 0
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        scenes = options.scene or plan.SCENES
        clean = list(pool.map(plan.run, [Case(name=name) for name in scenes]))
        parts = list(_parts(clean, options.share, options.seed))
        total, done = sum(map(len, parts)), 0
        print(f"{total} cases, --share {options.share:g} --seed {options.seed}", flush=True)
        for played in chain([clean], pool.map(plan.run_all, parts)):
            for case in played:
                counts[case.name] += case.injected
                for violation in case.violations:
                    violations += 1
                    print(f"{case}: {violation}", flush=True)
            done += len(played) if played is not clean else 0
            print(f"  {done} of {total}", file=sys.stderr, flush=True)
    for name, count in counts.items():
        print(f"{name:28} {count:5} faults")
    injected = counts.total()
    print(f"faults: {injected} injected, {violations} violations")
    if injected < total * 0.9:
        print(f"error: of {total} faults only {injected} met their call", file=sys.stderr)
    return int(violations > 0 or injected < total * 0.9)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0 and up to 1")
    return share


def _parts(clean: Sequence[Case], share: float, seed: int) -> Iterator[list[Case]]:
    """Yield the cases of all scenes, so many at a time."""
    for scene in clean:
        cases = plan.cases_of(scene.name, scene.calls, share, seed)
        for start in range(0, len(cases), AT_A_TIME):
            yield cases[start : start + AT_A_TIME]


if __name__ == "__main__":
    sys.exit(main())
