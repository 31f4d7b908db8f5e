"""Cutting a copied repository down to its newest commit (`history: head`).

git does it, on the copy, inside a sealed container that is never used for anything else: host git
is not run on an untrusted repository, and its configuration has been reduced before.
"""

import time

from policies.paths import WORKSPACE
from sandbox.container import seccomp
from sandbox.container.own_files import BROUGHT_PROGRAMS
from sandbox.container.spec import ContainerSpec
from sandbox.engine.docker import Engine
from sandbox.engine.labels import LABEL_DEADLINE, LABEL_MANAGED
from sandbox.errors import EngineError, WorkspaceError

_TIMEOUT_S = 300.0
_MEMORY_BYTES = 2 << 30

_SCRIPT = f"""
set -e
PATH=$PATH:{BROUGHT_PROGRAMS}
cd {WORKSPACE}
git rev-parse -q --verify HEAD^0 >/dev/null || exit 0
git clone -q --bare --depth 1 file://{WORKSPACE}/.git /tmp/head
cd .git
rm -rf objects refs packed-refs shallow logs worktrees ORIG_HEAD MERGE_HEAD index lost-found
git -C /tmp/head rev-parse HEAD > /tmp/commit
mv /tmp/head/objects /tmp/head/refs /tmp/head/shallow .
if [ -e /tmp/head/packed-refs ]; then mv /tmp/head/packed-refs .; fi
rm -rf /tmp/head
cd ..
git rev-parse -q --verify HEAD^0 >/dev/null || git update-ref --no-deref HEAD "$(cat /tmp/commit)"
rm /tmp/commit
git reset -q
"""


def cutter(image: str) -> ContainerSpec:
    """The container that holds the copy while its history is cut."""
    return ContainerSpec(
        image=image,
        command=("bash", "-c", _SCRIPT),
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
