"""What is asked of AWS for a plan: each call reads, and none writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from parris.aws import stacks
from parris.aws.ledger import Ledger
from parris.aws.queue import Queue, Waiting
from parris.aws.slots import Slots, sums_of
from parris.aws.storage import StoredFile, StoredText
from parris.aws.table import Item, Table
from parris.errors import InvalidConfig, LaunchFailed
from parris.jobs.config import CONFIG_FILENAME
from parris.jobs.files import GRID_FILENAME, decode, file_problems
from parris.jobs.grid import read_grid
from parris.jobs.points import Grid
from parris.launch.prepare import JobFiles, Machine, read_job, read_template, resolve_image
from parris.runs.month import Sums, beginning
from parris.runs.plan import RunPlan
from scripts.deployment.outputs import ROOT, Deployment
from scripts.jobs import jobs
from scripts.jobs.account_check import DENIED
from scripts.planning.clients import clients_of, settings_of

MACHINE = Machine(
    template=(ROOT / "cloudformation/training-stack.yaml").read_text(),
    user_data=(ROOT / "trainer/runtime/user-data.sh").read_text(),
)


@dataclass(frozen=True, kw_only=True)
class InstanceType:
    """What EC2 says of an instance type."""

    vcpus: int
    gpus: str
    """Such as "1 x A10G"; empty without any."""
    architectures: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Image:
    """What EC2 says of an image."""

    name: str
    owner: str
    """As ``ec2:Owner`` has it: an alias, or an account."""
    architecture: str


@dataclass(frozen=True)
class _Folder:
    """A job's folder in the place of the bucket."""

    folder: Path

    def read_job_file(self, job: str, name: str) -> StoredText:
        return StoredText(decode((self.folder / name).read_bytes(), f"{job}/{name}"), {})


class Reading:
    """One deployment's clients."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.settings = settings_of(deployment)
        self.clients = clients_of(deployment)
        self.storage = self.clients.storage()
        self.ec2: Any = self.clients.ec2()
        self.quotas, self.iam = deployment.client("service-quotas"), deployment.client("iam")
        self.table = Table(dynamodb=self.clients.dynamodb, name=deployment.ledger_table)
        self.ledger = Ledger(self.table)

    def job_files(self, pool: Executor, job: str, folder: Path | None) -> JobFiles:
        """Return the job's files as the config bucket has them, or a folder of this clone."""
        if folder is None:
            return read_job(pool, self.storage, job)
        return JobFiles(
            config=pool.submit(_Folder(folder).read_job_file, job, CONFIG_FILENAME),
            listing=pool.submit(_listing, job, folder),
        )

    def template(self, plan: RunPlan, folder: Path | None, sizes: Mapping[str, int]) -> str:
        """Return the template of a run whose job lies in the bucket, or in a folder here."""
        storage: Any = self.storage if folder is None else _Folder(folder)
        return read_template(plan, storage, sizes, MACHINE)

    def grid(self, job: str, folder: Path | None, sizes: Mapping[str, int]) -> Grid | None:
        """Return the grid that a launch of the job begins; None if it begins one run.

        Raises:
            InvalidConfig: if its grid.json is none.
        """
        if GRID_FILENAME not in sizes:
            return None
        storage = self.storage if folder is None else _Folder(folder)
        text = storage.read_job_file(job, GRID_FILENAME).text
        return read_grid(text, f"{job}/{GRID_FILENAME}")

    def held(self) -> Item:
        return Slots(self.table).held()

    def sums(self, month: str) -> Sums:
        """Return what a month's runs have cost and what is reserved, as a launch reckons it."""
        if kept := sums_of(self.held(), month):
            return kept
        known = self.ledger.claimed_in(month)
        spent, reserved = beginning(known, month, self.settings.grace)
        micros = sum(one.micros for one in reserved.values())
        return Sums(month=month, spent=spent, reserved=micros, runs=len(reserved))

    def waiting(self) -> list[Waiting]:
        return Queue(self.table).waiting()[0]

    def stack(self, name: str) -> Mapping[str, Any] | None:
        return stacks.read_stack(self.clients.cloudformation(), name)

    def instance_types(self, names: Iterable[str]) -> dict[str, InstanceType]:
        """Return what EC2 says of types; nothing if it knows one of them not."""
        wanted = sorted(names)
        if not wanted:
            return {}
        try:
            answer = self.ec2.describe_instance_types(InstanceTypes=wanted)
        except ClientError as error:
            if not error.response["Error"]["Code"].startswith("Invalid"):
                raise
            return {}  # the account check tells which
        return {item["InstanceType"]: _instance_type(item) for item in answer["InstanceTypes"]}

    def find_image(self, run: RunPlan) -> tuple[str | None, Image | None, str]:
        """Return an image's id, what EC2 says of it, and what is wrong with it."""
        try:
            found = resolve_image(run, self.clients)
        except LaunchFailed as error:
            return None, None, str(error)
        image = self.image(found)
        if image is None:
            why = f"image: {found} is not in {run.region}, or not shared with this account"
            return found, None, why
        return found, image, ""

    def image(self, identifier: str) -> Image | None:
        """Return what EC2 says of an image; None if this account may use none of that id."""
        try:
            found = self.ec2.describe_images(ImageIds=[identifier])["Images"]
        except ClientError as error:
            if not error.response["Error"]["Code"].startswith("InvalidAMIID"):
                raise
            return None
        if not found:
            return None
        owner = found[0].get("ImageOwnerAlias") or found[0].get("OwnerId", "")
        return Image(
            name=found[0].get("Name", ""),
            owner=str(owner),
            architecture=found[0].get("Architecture", ""),
        )


def heard(future: Future[Any], what: str, unasked: list[str]) -> Any:
    """Return what `future` found; None, and a line in `unasked`, if AWS does not let us ask."""
    try:
        return future.result()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in DENIED:
            raise
        unasked.append(f"{what}: not looked at, AWS does not let these credentials ask ({code})")
        return None


def _listing(job: str, folder: Path) -> dict[str, StoredFile]:
    sizes = {name: path.stat().st_size for name, path in jobs.job_files(job, folder).items()}
    if problems := file_problems(sizes):
        raise InvalidConfig(f"job {job}", problems)
    return {name: StoredFile(size, etag="") for name, size in sizes.items()}


def _instance_type(item: Mapping[str, Any]) -> InstanceType:
    gpus = item.get("GpuInfo", {}).get("Gpus", [])
    return InstanceType(
        vcpus=item["VCpuInfo"]["DefaultVCpus"],
        gpus=", ".join(f"{gpu.get('Count', 1)} x {gpu.get('Name', 'GPU')}" for gpu in gpus),
        architectures=tuple(item.get("ProcessorInfo", {}).get("SupportedArchitectures", ())),
    )
