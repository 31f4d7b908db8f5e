"""Cutting a copied workspace's repositories down to their newest commit (`history: head`).

git does it, on the copy, inside a sealed container that is never used for anything else: host git
is not run on an untrusted repository, and its configuration has been reduced before.
"""

import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

from policies.paths import WORKSPACE
from policies.policy import History, WorkspaceRules
from sandbox.container import seccomp
from sandbox.container.own_files import ISOLATED
from sandbox.container.prepared_image import PreparedImage
from sandbox.container.spec import ContainerSpec
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_DEADLINE, LABEL_MANAGED
from sandbox.errors import EngineError, WorkspaceError
from sandbox.patch.values import LeftOut, LeftOutKind
from sandbox.workspace.scan import FoundFile

_TIMEOUT_S = 300.0
_MEMORY_BYTES = 2 << 30
_PACKED = re.compile(rb"(?:^|/)\.git/(?:.*/)?objects/pack/[^/]*$")
_PARTIAL = (
    "is of a partial clone: git can't show what of the history was never fetched (log -p, blame), "
    "for there is no network to fetch it by (git fetch --refetch --no-filter on the host gets all)"
)


def is_cut(rules: WorkspaceRules, copied: Iterable[FoundFile]) -> bool:
    """Whether something of what is copied has a history that the rules keep out."""
    return rules.history is History.HEAD and any(
        os.path.basename(item.path) == b".git" for item in copied
    )


def lacking(rules: WorkspaceRules, copied: Iterable[FoundFile]) -> list[LeftOut]:
    """Of each partial clone (git-clone(1), ``--filter``) that goes in whole: that it is one."""
    if rules.history is not History.FULL:
        return []
    marked = (item.path for item in copied if item.path.endswith(b".promisor"))
    folders = {os.path.dirname(path) for path in marked if _PACKED.search(path)}
    return [LeftOut(path=p, reason=_PARTIAL, kind=LeftOutKind.UNUSABLE) for p in sorted(folders)]


def cutter(prepared: PreparedImage) -> ContainerSpec:
    """The container that holds the copy while its history is cut."""
    source = Path(__file__).with_name("history_cutter.py").read_text("utf-8")
    return ContainerSpec(
        image=prepared.id,
        command=(prepared.python, *ISOLATED, source, WORKSPACE),
        unset=prepared.unset,
        labels={LABEL_MANAGED: "1", LABEL_DEADLINE: str(int(time.time() + 2 * _TIMEOUT_S))},
        cpus=2.0,
        memory_bytes=_MEMORY_BYTES,
        pids=64,
        file_bytes=_MEMORY_BYTES,
        seccomp_profile=seccomp.profile(exec_memory_files=False),
    )


def cut(engine: Engine, container: str) -> None:
    """Run the cutter.

    Raises:
        WorkspaceError: git can't read the repository, or takes too long.
    """
    try:
        engine.start(container)
        code = engine.wait(container, timeout_s=_TIMEOUT_S)
    except EngineError as error:
        raise WorkspaceError(f"the history can't be cut to its newest commit: {error}") from error
    if code:
        raise WorkspaceError(
            f"the history can't be cut to its newest commit (git gave {code}): "
            "use workspace.history: full or none in the policy"
        )
