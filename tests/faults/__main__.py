"""Inject every fault into every call, and print what did not hold: `make faults`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.faults import plan


def main() -> int:
    """Return 1 if anything did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of all cases, between 0 and 1")
    parser.add_argument("--seed", type=int, default=0, help="which of them")
    parser.add_argument("--scene", action="append", help="instead of all of them")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    cases = list(plan.cases(options.share, options.seed, options.scene))
    print(f"{len(cases)} cases, seed {options.seed}", file=sys.stderr, flush=True)
    counts: Counter[str] = Counter()
    violations = injected = 0
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        for done, case in enumerate(pool.map(plan.run, cases, chunksize=4), 1):
            counts[case.name] += case.injected
            injected += case.injected
            for violation in case.violations:
                violations += 1
                print(f"{case}: {violation}", flush=True)
            if done % 100 == 0:
                print(f"  {done} of {len(cases)}", file=sys.stderr, flush=True)
    for name, count in counts.items():
        print(f"{name:16} {count:5} faults")
    print(f"faults: {injected} injected, {violations} violations")
    return int(violations > 0)


if __name__ == "__main__":
    sys.exit(main())
