"""Runs that a version without a ledger made, taken into it, a few at each sweep."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from botocore.exceptions import BotoCoreError, ClientError

from ..aws.ledger import Ledger
from ..aws.results import Results
from ..events.request import is_run_key
from ..runs.names import run_prefix
from ..runs.times import read_time

log = logging.getLogger(__name__)

AT_ONCE = 200
"""Runs taken in at one sweep: about a minute of two calls each."""

_JUST_ENDED = timedelta(hours=1)
"""So long after its end somebody may still have to be told of a run: rather twice than never."""


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """Goes through the results bucket once in a deployment's life."""

    ledger: Ledger
    storage: Results
    now: datetime

    def go_on(self) -> int:
        """Take in the next runs, if there are any left; return how many."""
        after = self.ledger.adopted_after()
        if after is None:
            return 0
        taken = 0
        for job, run_id in self._keys(after):
            if taken == AT_ONCE:
                break
            self._adopt(job, run_id)
            after, taken = f"{job}/{run_id}", taken + 1
        self.ledger.note_adoption(after, None if taken == AT_ONCE else self.now)
        return taken

    def _keys(self, after: str) -> Iterator[tuple[str, str]]:
        for job in self.storage.list_folders("runs/"):
            if f"{job}/" < f"{after.partition('/')[0]}/":  # in S3's order
                continue
            for run_id in self.storage.list_folders(f"runs/{job}/"):
                if f"{job}/{run_id}" > after and is_run_key(job, run_id):
                    yield job, run_id

    def _adopt(self, job: str, run_id: str) -> None:
        prefix = run_prefix(job, run_id)
        try:
            receipt = self.storage.read_receipt(prefix).receipt
            if isinstance(receipt, dict):
                outcome = self.storage.read_outcome(prefix)
                times = ((outcome or {}).get("finished"), receipt.get("deadline"))
                ended = next((time for time in map(read_time, times) if time), None)
                told = ended is None or self.now - ended > _JUST_ENDED
                self.ledger.adopt(job, run_id, receipt, outcome, self.now, told=told)
        except self.storage.s3.exceptions.NoSuchKey:
            log.warning("%srun.json is missing", prefix)
        except (ClientError, BotoCoreError):
            raise  # it may be readable at the next sweep, which begins with it again
        except Exception:  # one receipt of any shape would hold up all those behind it for good
            log.exception("%srun.json cannot be read", prefix)
