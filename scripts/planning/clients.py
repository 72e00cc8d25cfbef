"""What the launch function is told and looks with, for a person in its place."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from parris.aws.prices import price_region
from parris.aws.storage import Storage
from parris.errors import ParrisError
from parris.launch.prepare import Clients
from parris.settings import Settings, read_settings
from scripts.cli.console import Refused
from scripts.deployment.outputs import Deployment, make_client

Made = TypeVar("Made")


def settings_of(deployment: Deployment) -> Settings:
    """Return what the launch function is told.

    Raises:
        Refused: if it was made by another version.
    """
    try:
        return read_settings({**deployment.launch_settings, "AWS_REGION": deployment.region})
    except ParrisError as error:
        raise Refused(f"{error} (make deploy)") from error


def clients_of(deployment: Deployment) -> Clients:
    """Return makers of clients; each makes its own once."""

    def client(service: str) -> Callable[[], Any]:
        return _once(partial(deployment.client, service))

    def price_list() -> Any:
        region = price_region(deployment.region)  # PriceUnknown where there is none
        return _EachOnce(make_client("pricing", region))

    s3 = client("s3")
    return Clients(
        storage=_once(
            lambda: Storage(
                s3=s3(),
                config_bucket=deployment.config_bucket,
                results_bucket=deployment.results_bucket,
            )
        ),
        dynamodb=client("dynamodb"),
        cloudformation=client("cloudformation"),
        ssm=client("ssm"),
        pricing=_once(price_list),
        ec2=client("ec2"),
        sns=client("sns"),
        scheduler=client("scheduler"),
        functions=client("lambda"),
    )


def _once(make: Callable[[], Made]) -> Callable[[], Made]:
    lock, held = threading.Lock(), list[Made]()

    def made() -> Made:
        with lock:
            if not held:
                held.append(make())
            return held[0]

    return made


class _EachOnce:
    """A client of the Price List that asks for the same product once, whoever asks."""

    def __init__(self, pricing: Any) -> None:
        self._pricing, self._answers = pricing, dict[str, Any]()
        self._lock, self._asking = threading.Lock(), dict[str, threading.Lock]()

    def get_products(self, **asked: Any) -> Any:
        key = json.dumps(asked, sort_keys=True)
        with self._lock:
            asking = self._asking.setdefault(key, threading.Lock())
        with asking:
            if key not in self._answers:
                self._answers[key] = self._pricing.get_products(**asked)
            return self._answers[key]
