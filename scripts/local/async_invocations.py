"""Lambda's asynchronous invocation, for the services that invoke so and in MiniStack do not.

AWS IoT's Lambda action and EventBridge's Lambda targets invoke asynchronously ("Invoking Lambda
functions with events from other AWS services", Lambda developer guide): an error is retried as the
function's event invoke config says, and then goes to its destination.

Lambda queues such events, and takes from the queue what the account's concurrency has room for
("How Lambda handles errors and retries with asynchronous invocation", Lambda developer guide).
MiniStack starts a process for each at once: fifty machines that begin or end together then had more
than a hundred interpreters start on two processors, and their own calls timed out. So an account
here has the concurrency that its host has, and what is invoked synchronously does not wait.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ministack.services import eventbridge, iot, lambda_svc

AT_ONCE = 4 * (os.cpu_count() or 1)

_room = threading.BoundedSemaphore(AT_ONCE)
_is_async: ContextVar[bool] = ContextVar("whether an invocation is asynchronous", default=False)

_Invoke = Callable[[dict[str, Any], dict[str, Any]], Any]


def register() -> None:
    """Hand what rules send to a function over to MiniStack's own asynchronous invocation."""

    def from_iot(account_id: str, region: str, function_arn: str, event: Any) -> None:
        function, config, _ = lambda_svc._get_func_record_for_ref_in_scope(
            function_arn, account_id=account_id, region=region
        )
        _invoke(function, config, event)

    def from_eventbridge(arn: str, payload: str) -> None:
        function, config, _ = lambda_svc._get_func_record_for_ref(arn)
        _invoke(function, config, json.loads(payload))

    iot._dispatch_rule_to_lambda = from_iot
    eventbridge._dispatch_to_lambda = from_eventbridge
    lambda_svc.invoke_async_with_retry = _marked(lambda_svc.invoke_async_with_retry)
    lambda_svc._execute_function = _in_turn(lambda_svc._execute_function)


def _invoke(function: Any, config: Any, event: Any) -> None:
    if function and config:  # it may have been deleted, as in the drill
        record = lambda_svc._execution_record_for_config(function, config)
        lambda_svc.invoke_async_with_retry(record, event)


def _marked(invoke: _Invoke) -> _Invoke:
    def marked(function: dict[str, Any], event: dict[str, Any]) -> Any:
        token = _is_async.set(True)  # which the thread that it starts has too
        try:
            return invoke(function, event)
        finally:
            _is_async.reset(token)

    return marked


def _in_turn(execute: Callable[..., Any]) -> Callable[..., Any]:
    def in_turn(*arguments: Any, **options: Any) -> Any:
        if not _is_async.get():
            return execute(*arguments, **options)
        with _room:
            return execute(*arguments, **options)

    return in_turn
