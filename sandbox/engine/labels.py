"""The labels by which we know our own containers and images again."""

import os
import socket

LABEL_MANAGED = "moonpool.managed"
LABEL_RUN = "moonpool.run"
SAMPLE_RUN = "inspect-"
"""How the name of a run begins that is a sample of somebody's evaluation: it has no record, and no
work stands in its container that anybody would want back."""
LABEL_OWNER = "moonpool.owner"
"""The user and the machine (`owner`)."""
LABEL_DEADLINE = "moonpool.deadline"
"""Seconds since the epoch after which anyone may remove the thing (`moonpool prune`)."""

LABEL_POOL = "moonpool.pool"
"""On a container and its volumes that were made ahead of need: the process that did, which owns
them (`sandbox.pool.ownership`). Of which run such a container is says its name, once it is one's:
an engine changes no label."""

LABEL_SNAPSHOT = "moonpool.snapshot"
"""On an image: the content key of the workspace copy in it."""

LABEL_LAYERS = "moonpool.workspace-layers"
"""On such an image: in how many of its uppermost layers the workspace is; 0: perhaps in any."""

LABEL_LOWER = "moonpool.lower"
"""On a volume: the key of what an image holds at a path, under the mounts of sandboxes."""

LABEL_PREPARED = "moonpool.prepared"
"""On an image: the id of the image that it was prepared from."""

LABEL_PYTHON = "moonpool.python"
"""On a prepared image: the path of the Python that was brought into it for the guest."""

LABEL_MOVED = "moonpool.moved"
"""On a prepared image: the folder of the image that is a link to the workspace in it."""

LABEL_SETUP = "moonpool.setup"
"""On an image: the name of the set-up layer that it is, or that it rests on."""

LABEL_ATTEMPT = "moonpool.setup-attempt"
"""On a container: the name of the layer that the set-up in it was to become."""

LABEL_LEFT = "moonpool.setup-left"
"""On an image: set-up left files in the workspace, which are part of a baseline."""

LABEL_FOREIGN = "moonpool.foreign"
"""On an image of ours: what stands in it may be another's, so the guest trusts none of it."""

LABEL_REPLACED = "moonpool.setup-replaced"
"""On such an image: programs of the image below, and what they load, that set-up replaced; a JSON
list of paths."""

LABEL_PROXY = "moonpool.proxy"
"""On a container and its volume: the key of what the proxy in it lets through."""


def owner() -> str:
    """Whose the containers are that this process makes."""
    return f"{os.getuid()}@{socket.gethostname()}"
