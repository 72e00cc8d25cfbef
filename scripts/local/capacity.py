"""What EC2 says when it launches no machine: codes of RunInstances, each with its text.

The codes and their meaning are documented ("Error codes for the Amazon EC2 API", EC2 API
reference), the texts are not: each is as somebody got it, who is named beside it. CloudFormation
hands the text on without the code (handler_failure.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scripts.local import handler_failure


class Refused(ValueError):
    """A launch that EC2 refuses, in CloudFormation's words; `code` is EC2's."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One error of EC2."""

    text: str
    """With ``{type}``, ``{zone}``, ``{subnet}``, ``{most}`` and ``{price}``."""
    source: str
    """Who got it."""
    status: int = 400
    handler_code: str = "GeneralServiceException"
    """As the handler of AWS::EC2::Instance gives it; which it gives when, nobody has written down,
    so nothing should go by it."""
    elsewhere: str = ""
    """What follows where other zones, ``{others}``, would do."""
    spot: str = ""
    """The text for a spot machine, if that has its own."""
    anywhere: str = ""
    """The text for a request that names neither zone nor subnet, if that has its own."""


_GITHUB = "https://github.com/{}/issues/{}"


def _issues(*named: tuple[str, int]) -> str:
    """Return where several people tell of it, each by repository and issue."""
    return "; ".join(_GITHUB.format(*one) for one in named)


REFUSALS: Mapping[str, Refusal] = {
    "InsufficientInstanceCapacity": Refusal(
        status=500,
        text=(
            "We currently do not have sufficient {type} capacity in the Availability Zone you "
            "requested ({zone}). Our system will be working on provisioning additional capacity."
        ),
        elsewhere=(
            " You can currently get {type} capacity by not specifying an Availability Zone in "
            "your request or choosing {others}."
        ),
        spot="There is no Spot capacity available that matches your request.",
        anywhere=(
            "We currently do not have sufficient {type} capacity in zones with support for 'gp3' "
            "volumes. Our system will be working on provisioning additional capacity."
        ),
        source=_issues(
            ("openshift/installer", 7088),
            ("fedora-copr/copr", 2797),  # spot
            ("fedora-copr/copr", 3279),  # anywhere
        ),
    ),
    "UnfulfillableCapacity": Refusal(
        text=(
            "Unable to fulfill capacity due to your request configuration. Please adjust your "
            "request and try again."
        ),
        source=_issues(("mludvig/aws-ethereum-miner", 23)),
    ),
    "Unsupported": Refusal(
        text=(
            "Your requested instance type ({type}) is not supported in your requested "
            "Availability Zone ({zone})."
        ),
        elsewhere=(
            " Please retry your request by not specifying an Availability Zone or choosing "
            "{others}."
        ),
        anywhere=(
            "The requested configuration is currently not supported. Please check the "
            "documentation for supported configurations."
        ),
        handler_code="InvalidRequest",
        source=_issues(
            ("ned1313/Getting-Started-Terraform", 44),
            ("hashicorp/terraform-provider-aws", 8868),  # anywhere
        ),
    ),
    "InsufficientFreeAddressesInSubnet": Refusal(
        text=(
            "There are not enough free addresses in subnet '{subnet}' to satisfy the requested "
            "number of instances."
        ),
        source=_issues(("aws/karpenter-provider-aws", 3380)),
    ),
    "SpotMaxPriceTooLow": Refusal(
        text=(
            "Your Spot request price of {most} is lower than the minimum required Spot request "
            "fulfillment price of {price}."
        ),
        source="https://github.com/aws/aws-parallelcluster-node/pull/415",
    ),
    "MaxSpotInstanceCountExceeded": Refusal(
        text="Max spot instance count exceeded",
        source=_issues(("meadowdata/meadowrun", 84)),
    ),
    "VcpuLimitExceeded": Refusal(
        text=(
            "You have requested more vCPU capacity than your current vCPU limit of 0 allows for "
            "the instance bucket that the specified instance type belongs to. Please visit "
            "http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit."
        ),
        source=_issues(("scrapoxy/scrapoxy", 202)),
    ),
    "InstanceLimitExceeded": Refusal(
        text=(
            "You have requested more instances (1) than your current instance limit of 0 allows "
            "for the specified instance type. Please visit "
            "http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit."
        ),
        source=_issues(("widdix/aws-s3-virusscan", 55)),
    ),
    "RequestLimitExceeded": Refusal(
        status=503,
        text="Request limit exceeded.",
        handler_code="Throttling",
        source=_issues(("cattle-ops/terraform-aws-gitlab-runner", 756)),
    ),
    "InternalError": Refusal(
        status=500,
        text="An internal error has occurred",
        source=_issues(("openshift/origin", 18961)),
    ),
    "Unavailable": Refusal(
        status=503,
        text="The service is unavailable. Please try again shortly.",
        source=_issues(("MozillaSecurity/FuzzManager", 603)),
    ),
    "OptInRequired": Refusal(
        status=401,
        text=(
            "In order to use this AWS Marketplace product you need to accept terms and "
            "subscribe. To do so please visit "
            "https://aws.amazon.com/marketplace/pp?sku=4q59bftpyoueme916m1pjimec"
        ),
        source=_issues(("awslabs/harmonix", 22)),
    ),
    "Blocked": Refusal(
        text=(
            "This account is currently blocked and not recognized as a valid account. Please "
            "contact aws-verification@amazon.com if you have questions."
        ),
        source=_issues(("thecodeteam/labs", 43)),
    ),
    "UnauthorizedOperation": Refusal(
        status=403,
        text=(
            "You are not authorized to perform this operation. Encoded authorization failure "
            "message: pp6CfPzwjaqOe"
        ),
        handler_code="AccessDenied",
        source=_issues(("otiai10/hotsub", 97)),
    ),
    "InvalidParameterValue": Refusal(
        text=(
            "Value (nobody) for parameter iamInstanceProfile.name is invalid. Invalid IAM "
            "Instance Profile name"
        ),
        handler_code="InvalidRequest",
        source=_issues(("CiscoDevNet/cloud-cml", 4)),
    ),
}


def message(code: str, *, named: bool, spot: bool, facts: Mapping[str, str]) -> str:
    """Return EC2's text for a refusal.

    Args:
        code: one of `REFUSALS`.
        named: whether the request names a zone or a subnet.
        spot: whether it is for a spot machine.
        facts: what the text may tell; ``others`` is empty if no other zone would do.
    """
    refusal = REFUSALS[code]
    text = refusal.text + (refusal.elsewhere if facts["others"] else "")
    if refusal.anywhere and not named:
        text = refusal.anywhere
    if refusal.spot and spot:
        text = refusal.spot
    return text.format_map(facts)


def refused(code: str, text: str) -> Refused:
    """Return a refusal as CloudFormation reports it."""
    refusal = REFUSALS[code]
    words = handler_failure.words(text, status=refusal.status, code=refusal.handler_code)
    return Refused(code, words)
