"""Small repositories of each kind, and what is proposed for them."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.proposal.proposing import propose
from images.recipes import names
from policies.loading import load

Proposer = Callable[[Mapping[str, str]], dict[str, Any]]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Mapping[str, str]], Path]:
    root = tmp_path / "repository"

    def writer(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        root.mkdir(exist_ok=True)
        return root

    return writer


@pytest.fixture
def proposed(write: Callable[[Mapping[str, str]], Path], tmp_path: Path) -> Proposer:
    """The policy as data, with its text under ``text`` and the verify command under ``verify``."""

    def proposer(files: Mapping[str, str]) -> dict[str, Any]:
        found = propose(write(files), images=frozenset(names()))
        policy = tmp_path / "proposed.yaml"
        policy.write_text(found.text)
        load(str(policy))  # raises where it is none
        text = re.sub(r"\n *#   (?!- )", " ", found.text)  # comments are broken into short lines
        return {**yaml.safe_load(found.text), "text": text, "verify": found.verify}

    return proposer
