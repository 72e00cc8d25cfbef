"""Clients of AWS: made when they are asked for, and kept while the function is warm."""

from __future__ import annotations

import functools
import threading
from typing import Any

from botocore.config import Config
from botocore.loaders import Loader
from botocore.session import Session, get_session

_CONFIG = Config(
    connect_timeout=5,
    read_timeout=15,
    retries={"mode": "standard", "max_attempts": 4},
    max_pool_connections=16,
)

BRIEFLY = _CONFIG.merge(
    Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "max_attempts": 3})
)
"""For what a launch can do without: a price list that nobody can reach must not outlast it."""

SERVICES = (
    "cloudformation",
    "dynamodb",
    "ec2",
    "lambda",
    "logs",
    "pricing",
    "s3",
    "scheduler",
    "sns",
    "ssm",
)
"""Those that a function may have a client of."""


class _Loader(Loader):
    """Finds the models of SERVICES.

    To know which services there are, botocore's own looks into the folders of all that AWS has,
    some 400, once for each kind of model: about 20 ms of a cold start.
    """

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - its name
        return list(SERVICES)


_making = threading.Lock()


@functools.cache
def _session() -> Session:
    # botocore is the core of boto3; what boto3 adds, resources and transfers, is not used here
    # and costs a cold start about 20 ms.
    session = get_session()
    session.register_component("data_loader", _Loader())
    return session


@functools.cache
def client(service: str, region: str | None = None, config: Config = _CONFIG) -> Any:
    """Return the client of `service`, the same for all callers: it holds connections worth keeping.

    Args:
        service: one of SERVICES.
        region: another than the function's own.
    """
    # A session is not for two threads at once (boto3 guide, "Multithreading").
    with _making:
        return _session().create_client(service, region_name=region, config=config)
