"""What may invoke the two functions: the deployment's own rules."""

from tests.proof.table import Rows

_FUNCTION = "arn:aws:lambda:{region}:{account}:function:{deployment}"
_EVENTS = "arn:aws:events:{region}:{account}:rule/{deployment}"
_IOT = "arn:aws:iot:{region}:{account}:rule/{deployment}"
_UNSEEN = "EventBridge of the embedded cloud invokes without a permission"
_UNRECORDED = "IoT of the embedded cloud asks for it, but only calls of roles are recorded"


def _from(service: str, rule: str, account: str = "{account}") -> dict[str, object]:
    return {
        "aws:PrincipalServiceName": [f"{service}.amazonaws.com"],
        "aws:SourceArn": rule,
        "aws:SourceAccount": account,
    }


_INVOKE = "lambda:InvokeFunction"

NEEDS: Rows = [
    *(
        (
            _INVOKE,
            f"{_FUNCTION}-reap",
            "reap.tf",
            _from("events", f"{_EVENTS}-reap-{rule}"),
            _UNSEEN,
        )
        for rule in ("machine", "stack", "sweep")
    ),
    *(
        (
            _INVOKE,
            f"{_FUNCTION}-launch",
            "triggers.tf",
            _from("events", f"{_EVENTS}-{rule}"),
            _UNSEEN,
        )
        for rule in ("nightly", "data-fresh")
    ),
    *(
        (_INVOKE, f"{_FUNCTION}-launch", "triggers.tf", _from("iot", f"{_IOT}_{rule}"), _UNRECORDED)
        for rule in ("button", "device")
    ),
]

_OWN = {
    "reap": [("events", f"{_EVENTS}-reap-{rule}") for rule in ("machine", "stack", "sweep")],
    "launch": [
        *(("events", f"{_EVENTS}-{rule}") for rule in ("nightly", "data-fresh")),
        *(("iot", f"{_IOT}_{rule}") for rule in ("button", "device")),
    ],
}

REFUSALS: Rows = [
    *(
        (_INVOKE, f"{_FUNCTION}-{function}", "another rule", _from(service, f"{rule}-another"))
        for function, rules in _OWN.items()
        for service, rule in rules
    ),
    *(
        (_INVOKE, f"{_FUNCTION}-{function}", "another service", _from("sagemaker", rule))
        for function, rules in _OWN.items()
        for _, rule in rules
    ),
    *(
        (_INVOKE, f"{_FUNCTION}-another", "another function", _from(service, rule))
        for rules in _OWN.values()
        for service, rule in rules
    ),
    *(
        (_INVOKE, f"{_FUNCTION}-launch", "another account", _from(service, rule, "111111111111"))
        for service, rule in _OWN["launch"]
        if service == "iot"
    ),
]
