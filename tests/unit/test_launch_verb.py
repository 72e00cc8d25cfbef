"""What `parris launch` says of a launch that the function did not answer with a run."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.cli.console import Refused
from scripts.commands import launch


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("LaunchRefused", "job digits was not launched: why"),
        ("LaunchUnclear", "job digits may have been launched: why"),
    ],
)
def test_what_nobody_knows_is_not_called_refused(kind: str, said: str) -> None:
    body = json.dumps({"errorMessage": "why", "errorType": kind}).encode()
    result = {"FunctionError": "Unhandled", "Payload": io.BytesIO(body)}
    function = SimpleNamespace(invoke=lambda **_: result)
    deployment: Any = SimpleNamespace(client=lambda _name: function, launch_function="launch")
    with pytest.raises(Refused, match=f"^{said}$"):
        launch.invoke(deployment, {"job": "digits"})
