"""Which image and how much room a machine of some type wants."""

from __future__ import annotations

import re

_GPU_FAMILY = re.compile(r"(p\d|g\d|gr\d)")
_ARM_FAMILY = re.compile(r"(a1|[a-z]+\d+g[a-z]*|im4gn|is4gen)\.")
"""AWS Graviton: a ``g`` right behind the generation (EC2 user guide, "Instance type names")."""

_AL2023 = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{architecture}"
_DEEP_LEARNING = (
    "/aws/service/deeplearning/ami/{architecture}"
    "/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"
)


def has_gpu(instance_type: str) -> bool:
    return _GPU_FAMILY.match(instance_type) is not None


def default_image(instance_type: str) -> str:
    """Return the public SSM parameter of the image for `instance_type`.

    Amazon Linux 2023, or AWS's Deep Learning base image where there is a GPU to drive.
    """
    architecture = "arm64" if _ARM_FAMILY.match(instance_type) else "x86_64"
    return (_DEEP_LEARNING if has_gpu(instance_type) else _AL2023).format(architecture=architecture)
