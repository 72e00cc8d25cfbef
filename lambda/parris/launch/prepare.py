"""What a launch reads and decides before anything of its run exists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ..aws import prices
from ..aws.stacks import StackCall
from ..aws.storage import Storage, StoredFile, StoredText
from ..errors import InvalidConfig, LaunchRefused, PriceUnknown
from ..events.request import LaunchRequest
from ..jobs import config as configuration
from ..jobs.commit import read_git
from ..jobs.config import CLUSTER, CONFIG_FILENAME, read_config
from ..jobs.files import scripts_problems
from ..jobs.retry import SPOT
from ..runs.again import Then, as_then
from ..runs.budget import Price
from ..runs.fleet import fill_slots
from ..runs.names import run_prefix
from ..runs.plan import RunPlan, plan_run
from ..runs.priced import with_share, within_budget, without_price
from ..runs.record import RunRecord
from ..settings import Settings
from . import render
from .nodes import Network, with_nodes

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_pricing import PricingClient
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_ssm import SSMClient

    from ..runs.documents import GitRecord


@dataclass(frozen=True, kw_only=True)
class Clients:
    """Makers of boto3 clients, called only by a launch that needs them."""

    storage: Callable[[], Storage]
    dynamodb: Callable[[], DynamoDBClient]
    cloudformation: Callable[[], CloudFormationClient]
    ssm: Callable[[], SSMClient]
    pricing: Callable[[], PricingClient]
    ec2: Callable[[], EC2Client]
    sns: Callable[[], SNSClient]
    scheduler: Callable[[], EventBridgeSchedulerClient]
    functions: Callable[[], LambdaClient]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The packaged files that make a machine."""

    template: str
    user_data: str


@dataclass(frozen=True, kw_only=True)
class JobFiles:
    """What a run is to begin with, as it is being read: a job's files, or another run's."""

    config: Future[StoredText]
    """Its training-config.json."""
    listing: Future[dict[str, StoredFile]]
    """By path below the folder."""

    @property
    def sizes(self) -> dict[str, int]:
        """In bytes, by path below the folder."""
        return {name: file.size for name, file in self.listing.result().items()}

    @property
    def git(self) -> GitRecord | None:
        """The commit that they were uploaded from; None if it is not known."""
        etags = {name: file.etag for name, file in self.listing.result().items()}
        return read_git(self.config.result().metadata, etags)


def read_job(pool: Executor, storage: Storage, job: str) -> JobFiles:
    return JobFiles(
        config=pool.submit(storage.read_job_file, job, CONFIG_FILENAME),
        listing=pool.submit(storage.list_job_files, job),
    )


def read_source(pool: Executor, storage: Storage, prefix: str) -> JobFiles:
    """Read the files of a job as a run or a grid began with them."""
    return JobFiles(
        config=pool.submit(storage.read_source, prefix, CONFIG_FILENAME),
        listing=pool.submit(storage.list_source, prefix),
    )


def prepare(
    request: LaunchRequest,
    files: JobFiles,
    settings: Settings,
    now: datetime,
    *,
    run_id: str,
    nonce: str,
    resumed: RunRecord | None,
    then: Then | None,
) -> RunPlan:
    """Return what is to become of a request, without doing anything of it.

    Args:
        resumed: the run whose checkpoints it begins with.
        then: how the run was that it runs again, whose files are `files`.

    Raises:
        ParrisError: if the job or the request is not fit to run.
    """
    try:
        config = read_config(files.config.result().text, f"{request.job}/{CONFIG_FILENAME}")
        plan = plan_run(request, config, settings, now, run_id=run_id, nonce=nonce, resumed=resumed)
        if problems := scripts_problems(*plan.config.scripts, files.sizes):
            again = "make upload-config uploads what the folder holds"
            raise InvalidConfig(f"{request.job}/{CONFIG_FILENAME}", [f"{problems[0]}; {again}"])
    except InvalidConfig as error:
        if then is None:
            raise
        raise LaunchRefused(
            f"rerun: run {then.run_id} cannot be run here again as it was: "
            f"{'; '.join(error.problems)} (its source/{CONFIG_FILENAME}); make results "
            f"RUN={then.run_id} fetches its source/, to be changed and launched as a job"
        ) from error
    return replace(plan, git=files.git) if then is None else as_then(plan, then)


def read_price(plan: RunPlan, clients: Clients) -> Price:
    one = prices.read_price(
        clients.pricing,
        clients.ec2,
        instance_type=plan.rung.instance_type,
        spot=plan.rung.market == SPOT,
        volume_gb=plan.volume_size_gb,
        subnet_id=plan.rung.subnet_id,
        region=plan.region,
    )
    return replace(one, nodes=plan.config.nodes)


def read_most_hourly(plan: RunPlan, clients: Clients) -> Mapping[str, Decimal]:
    """Return what the instances of a plan's ladder cost an hour on demand, by their type.

    A spot machine's price may rise so far. Nothing is asked where one machine is all there is.

    Raises:
        PriceUnknown: if AWS gives no price of one of them.
    """
    if len(plan.ladder.rungs()) == 1 and plan.rung.market != SPOT:
        return {}
    kinds = plan.ladder.instance_types
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = [
            pool.submit(prices.on_demand_hourly, clients.pricing, kind, plan.region)
            for kind in kinds
        ]
        return {kind: price.result() for kind, price in zip(kinds, found, strict=True)}


def shared(plan: RunPlan, on_demand: Mapping[str, Decimal], grace: timedelta) -> RunPlan:
    """Return a priced `plan` with what is to be reserved for it of the month's budget."""
    if plan.price is None:
        raise PriceUnknown("its price is unknown")  # `without_price` has said so before
    most = plan.price.hourly_usd
    if on_demand:
        volume = plan.price.parts["volume"]
        dearest = max(on_demand.values()) + volume + prices.PUBLIC_IPV4_HOURLY
        most = max(most, plan.config.nodes * dearest)
    return with_share(plan, most, grace)


def priced(plan: RunPlan, read: Callable[[], Price]) -> RunPlan:
    """Return `plan` with its price, or with a note why it has none if no end hangs on it."""
    try:
        return within_budget(plan, read())
    except PriceUnknown as error:
        return without_price(plan, error)


def resolve_image(plan: RunPlan, clients: Clients) -> str:
    """Return the id of the image that the machine is to boot.

    Raises:
        LaunchFailed: if there is no such parameter.
        LaunchRefused: if the image of a run that is run again is gone: another one has other
            libraries, so that it would be another run.
    """
    if plan.rerun_of and not prices.has_image(clients.ec2(), plan.image):
        raise LaunchRefused(
            f"rerun: the image of run {plan.rerun_of}, {plan.image}, is no longer to be had in "
            f"{plan.region}; make launch JOB={plan.job} launches the job as it is now, with "
            f"today's image, and make results RUN={plan.rerun_of} fetches what the run began with"
        )
    if plan.image.startswith("ami-"):
        return plan.image
    return prices.resolve_image(clients.ssm(), plan.image)


def read_template(
    plan: RunPlan, storage: Storage, files: Mapping[str, int], machine: Machine
) -> str:
    name = plan.config.template
    if not name or (name == configuration.ORIGINAL_TEMPLATE and name not in files):
        return machine.template
    if plan.files_of:
        return storage.read_source(run_prefix(plan.job, plan.files_of), name).text
    return storage.read_job_file(plan.job, name).text


def read_network(plan: RunPlan, clients: Clients) -> Network:
    """Return where several machines are to be; one alone needs nothing of it."""
    if plan.config.nodes == 1:
        return Network()
    with ThreadPoolExecutor(max_workers=2) as pool:
        reading = pool.submit(_read_vpc, plan, clients)
        is_cluster = plan.config.placement == CLUSTER and _can_cluster(plan, clients)
        return Network(vpc=reading.result(), is_cluster=is_cluster)


def _read_vpc(plan: RunPlan, clients: Clients) -> str:
    if not plan.rung.subnet_id:
        return ""
    found = clients.ec2().describe_subnets(SubnetIds=[plan.rung.subnet_id])
    return found["Subnets"][0]["VpcId"]


def _can_cluster(plan: RunPlan, clients: Clients) -> bool:
    """Return whether machines of the type may be in a cluster placement group: burstable ones may
    not, and RunInstances refuses them there."""
    kind: Any = plan.rung.instance_type
    found = clients.ec2().describe_instance_types(InstanceTypes=[kind])["InstanceTypes"]
    return any(
        CLUSTER in one.get("PlacementGroupInfo", {}).get("SupportedStrategies", []) for one in found
    )


def stack_call(
    plan: RunPlan,
    settings: Settings,
    template: str,
    image: str,
    machine: Machine,
    network: Network = Network(),  # noqa: B008 - it never changes
) -> StackCall:
    user_data = render.render_user_data(machine.user_data, plan)
    source = f"{plan.job}/{plan.config.template or 'training-stack.yaml'}"
    template, user_data = with_nodes(template, user_data, plan.config.nodes, network)
    template = fill_slots(template, settings.stack_tags, settings.fleet.volume_key)
    types = render.resource_types(plan)
    return StackCall(
        name=plan.stack_name,
        run_id=plan.run_id,
        attempt=plan.attempt,
        deployment=plan.deployment,
        template=render.render_template(template, user_data, plan.attempt, source, types),
        parameters=render.stack_parameters(
            plan, image, settings.scheduler_role_arn, settings.schedule_group
        ),
        tags=render.stack_tags(plan, settings.stack_tags),
        role_arn=settings.stack_role_arn,
        resource_types=types,
    )
