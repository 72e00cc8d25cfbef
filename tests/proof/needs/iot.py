"""AWS IoT: says why a message started nothing."""

from tests.proof.table import Rows

_GROUP = "arn:aws:logs:{region}:{account}:log-group"
_WHY = "AWS IoT developer guide, 'CloudWatch Logs' rule action, requirements"

NEEDS: Rows = [
    (
        "logs:DescribeLogStreams",
        [
            f"{_GROUP}:/{{deployment}}/iot-errors",
            f"{_GROUP}:/{{deployment}}/iot-errors:log-stream:",
        ],
        f"{_WHY}; the group by the service authorization reference",
    ),
    (
        ["logs:CreateLogStream", "logs:PutLogEvents"],
        f"{_GROUP}:/{{deployment}}/iot-errors:log-stream:x",
        _WHY,
    ),
]

REFUSALS: Rows = [
    (
        ["logs:CreateLogStream", "logs:PutLogEvents"],
        f"{_GROUP}:/{{deployment}}/training:log-stream:x",
        "another log",
    ),
    ("logs:DescribeLogStreams", f"{_GROUP}:/{{deployment}}/training", "another log"),
]
