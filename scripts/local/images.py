"""Images the training stacks boot from and MiniStack does not know.

Stands in for the public SSM parameters of Amazon Linux 2023 on arm64 ("AL2023 on Amazon EC2",
AL2023 user guide) and of the Deep Learning Base OSS AMI (DLAMI release notes), and lists their
images in DescribeImages.
"""

from __future__ import annotations

from typing import Any

from ministack.core.responses import get_account_id
from ministack.services import ec2, ssm

_AMAZON = ("137112412989", "amazon")
_IMAGES = {
    "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64": (
        "ami-0a2023a1b2c3d4e6f",
        "al2023-ami-2023.6.20241010.0-kernel-6.1-arm64",
        "Amazon Linux 2023 AMI",
        "arm64",
    ),
    "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-amazon-linux-2023"
    "/latest/ami-id": (
        "ami-0d1a2023a1b2c3d4e",
        "Deep Learning Base OSS Nvidia Driver GPU AMI (Amazon Linux 2023) 20241010",
        "Deep Learning Base OSS Nvidia Driver GPU AMI (Amazon Linux 2023)",
        "x86_64",
    ),
}


def architecture(image_id: str) -> str:
    """Return an image's processor architecture, ``x86_64`` for those nobody registered."""
    for identifier, _, _, processor in _IMAGES.values():
        if identifier == image_id:
            return processor
    image = ec2._images.get(image_id) or {}
    return str(image.get("Architecture") or "x86_64")


def owner(image_id: str) -> str:
    """Return who owns an image as ``ec2:Owner`` names him: AWS's alias for him, or his account.

    Of AWS's own images it is ``amazon`` ("Example policies to control access the Amazon EC2 API",
    EC2 user guide); an image that nobody lists counts as the account's own.
    """
    for identifier, *_, account, alias in ec2._STUB_AMIS:
        if identifier == image_id:
            return str(alias or account)
    if any(identifier == image_id for identifier, *_ in _IMAGES.values()):
        return _AMAZON[1]
    image = ec2._images.get(image_id) or {}
    return str(image.get("OwnerId") or get_account_id())


def register() -> None:
    """Publish the parameters and list the images."""
    for parameter, (image_id, name, description, _) in _IMAGES.items():
        ssm._PUBLIC_AMI_PARAMETERS[parameter] = image_id
        ec2._STUB_AMIS.append((image_id, name, description, "", "/dev/xvda", *_AMAZON))
    stub_view = ec2._stub_image_view

    def view(image_id: str, *rest: Any) -> dict[str, Any]:
        return {**stub_view(image_id, *rest), "Architecture": architecture(image_id)}

    ec2._stub_image_view = view
