"""Policies that tasks name: found, read and composed once, before anything starts.

Owns that a policy comes from the operator and lies in no task's workspace. What ceilings make of
one is the command line's.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from policies.errors import PolicyError
from policies.loading import load


class Permits:
    """Every policy of a tasks file. `own`: the operator's folder of policies, if there is one."""

    def __init__(self, own: Path | None) -> None:
        self._own = own
        self._read: dict[tuple[str, Path], tuple[str, str, tuple[Path, ...]]] = {}

    def named(self, policy: str, directory: Path, workspaces: Sequence[Path]) -> tuple[str, str]:
        """What is wrong with a policy for tasks in these workspaces, empty where nothing is; and
        the name by which it is found from anywhere."""
        if (policy, directory) not in self._read:
            self._read[policy, directory] = self._load(policy, directory)
        complaint, name, files = self._read[policy, directory]
        if complaint:
            return complaint, name
        for workspace in workspaces:
            for file in files:
                if workspace in file.parents:
                    return (
                        f"{file} lies in the workspace, which may not decide what it may do: "
                        "read it, copy it somewhere else, and name the copy"
                    ), name
        return "", name

    def _load(self, policy: str, directory: Path) -> tuple[str, str, tuple[Path, ...]]:
        is_file = "/" in policy or policy.endswith((".yaml", ".yml"))
        name = os.path.normpath(directory / policy) if is_file else policy
        files: list[Path] = []

        def accept(file: Path) -> None:
            # By its name, and by where links lead: both are somebody's to change.
            files.append(file.parent.resolve() / file.name)
            files.append(file.resolve())

        try:
            load(name, directory=self._own, accept=accept)
        except PolicyError as error:
            return f"can't be used: {error}", name, ()
        except RuntimeError:
            return f"the links at {name} lead round in a circle", name, ()
        return "", name, tuple(files)
