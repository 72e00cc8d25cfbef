"""moto as fast as it can be had: importing this is enough."""

from __future__ import annotations

import gc
import os

# moto makes its 1,300 images anew for every world; nobody here asks for one of them.
os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")

import botocore.loaders
import botocore.session

# A quarter of the time of moto's tests went into looking for rubbish among its many objects.
gc.set_threshold(100_000)

_create_loader = botocore.loaders.create_loader
_shared = _create_loader()


def create_loader(search_path_string: str | None = None) -> botocore.loaders.Loader:
    """Return the loader that all sessions share: each would parse EC2's model again."""
    return _create_loader(search_path_string) if search_path_string else _shared


botocore.session.create_loader = create_loader
