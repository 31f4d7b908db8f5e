"""The names of set-up layers, the record of their last use, and what is told of one in a run."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from policies.policy import Policy
from sandbox.cache import cache_directory
from sandbox.engine.labels import LABEL_REPLACED

REPOSITORY = "moonpool/setup"
DRAFT = "draft-"
"""What the tag of one begins with that has not been looked through."""


def layer_file(key: str) -> Path:
    """A file whose age tells when a layer was last used."""
    return cache_directory() / "setup" / key


def replaced(labels: Mapping[str, str]) -> tuple[str, ...]:
    """Paths of the image's programs, and of what they load, that a layer's set-up replaced."""
    return tuple(map(str, json.loads(labels.get(LABEL_REPLACED) or "[]")))


def notes(policy: Policy, replaced: Collection[str]) -> tuple[str, ...]:
    """What whoever reads a run's report should know of its set-up."""
    rules = policy.setup
    if not rules.makes_layer:
        return ()
    found = []
    if rules.network:
        found.append(f"set-up reached: {', '.join(rules.network)}")
    if rules.as_root:
        found.append("set-up ran as root (setup.as_root)")
    named = {rule.program.rpartition("/")[2] for rule in policy.commands}
    told = [path for path in replaced if path.rpartition("/")[2] in named]
    if told:
        found.append(f"set-up replaced programs that the policy lists: {', '.join(told)}")
    return tuple(found)
