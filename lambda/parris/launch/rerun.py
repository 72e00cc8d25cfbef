"""The run that is to be run again: its receipt and its source, whatever became of its job."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from ..aws.ledger import Ledger
from ..aws.storage import Storage
from ..errors import LaunchRefused
from ..events.request import LaunchRequest
from ..jobs.config import CONFIG_FILENAME
from ..jobs.files import file_problems
from ..runs.again import Then, read_then
from ..runs.names import run_prefix
from ..runs.record import RunRecord
from .prepare import JobFiles, read_source

if TYPE_CHECKING:
    from ..runs.documents import Receipt


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """A run as it is being read, all of it side by side."""

    request: LaunchRequest
    record: Future[RunRecord | None]
    receipt: Future[Receipt]
    files: JobFiles
    """What it began with."""

    def result(self) -> Then:
        """Return how it was.

        Raises:
            LaunchRefused: if there is no such run of the job, it is not over, or what it was is no
                longer to be read.
        """
        job, run_id = self.request.job, self.request.rerun
        record = self.record.result()
        see = f"make status JOB={job} lists the job's runs"
        if record is None or not record.receipt:
            raise LaunchRefused(f"rerun: job {job} has no run {run_id}; {see}")
        if record.outcome is None and record.stack_id is None:
            raise LaunchRefused(
                f"rerun: run {run_id} ({record.state}) never had a machine; make launch JOB={job} "
                "launches the job as it is now"
            )
        if record.outcome is None:
            raise LaunchRefused(
                f"rerun: run {run_id} is not over, or its end is not written down yet; make stop "
                f"RUN={run_id} ends it, and make status RUN={run_id} says when it is"
            )
        then = read_then(run_id, self.receipt.result())
        listed = self.files.listing.result()
        if problems := file_problems({name: file.size for name, file in listed.items()}):
            where = f"{run_prefix(job, run_id)}source/"
            raise LaunchRefused(f"rerun: {where}: {'; '.join(problems)}")
        if CONFIG_FILENAME not in listed:
            raise LaunchRefused(
                f"rerun: run {run_id} has no source/{CONFIG_FILENAME} any more (its files may have "
                f"been deleted); make launch JOB={job} launches the job as it is now"
            )
        return then


def read_earlier(
    pool: Executor, ledger: Ledger, storage: Storage, request: LaunchRequest
) -> Earlier:
    """Begin to read the run that `request` wants again."""
    prefix = run_prefix(request.job, request.rerun)
    return Earlier(
        request=request,
        record=pool.submit(ledger.read, request.job, request.rerun),
        receipt=pool.submit(_read_receipt, storage, prefix),
        files=read_source(pool, storage, prefix),
    )


def _read_receipt(storage: Storage, prefix: str) -> Receipt:
    try:
        receipt = storage.read_receipt(prefix).receipt
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        receipt = None
    except (ValueError, RecursionError):
        receipt = None
    if not isinstance(receipt, dict):
        raise LaunchRefused(
            f"rerun: the receipt, {prefix}run.json in the results bucket, is no JSON object; the "
            "bucket keeps its older versions, and the files that the run began with lie beside it "
            "in source/"
        )
    return receipt
