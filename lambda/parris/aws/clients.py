"""Clients of AWS: made when they are asked for, and kept while the function is warm."""

from __future__ import annotations

import functools
import threading
from typing import Any

from botocore.config import Config
from botocore.session import get_session

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

_making = threading.Lock()


@functools.cache
def _session() -> Any:
    # botocore is the core of boto3; what boto3 adds, resources and transfers, is not used here
    # and costs a cold start about 60 ms.
    return get_session()


@functools.cache
def client(service: str, region: str | None = None, config: Config = _CONFIG) -> Any:
    """Return the client of `service`, the same for all callers: it holds connections worth keeping.

    Args:
        region: another than the function's own.
    """
    # A session is not for two threads at once (boto3 guide, "Multithreading").
    with _making:
        return _session().create_client(service, region_name=region, config=config)
