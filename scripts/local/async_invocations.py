"""Lambda's asynchronous invocation, for the services that invoke so and in MiniStack do not.

AWS IoT's Lambda action and EventBridge's Lambda targets invoke asynchronously ("Invoking Lambda
functions with events from other AWS services", Lambda developer guide): an error is retried as the
function's event invoke config says, and then goes to its destination.
"""

from __future__ import annotations

import json
from typing import Any

from ministack.services import eventbridge, iot, lambda_svc


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


def _invoke(function: Any, config: Any, event: Any) -> None:
    if function and config:  # it may have been deleted, as in the drill
        record = lambda_svc._execution_record_for_config(function, config)
        lambda_svc.invoke_async_with_retry(record, event)
