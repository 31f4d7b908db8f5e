"""Which changes belong in a patch, by the baseline's ignore rules and by the policy."""

import os
from collections.abc import Callable, Mapping, Sequence

from policies.paths import WORKSPACE, absolute
from policies.policy import Policy
from sandbox.git.ignore import IgnoreRules, OperatorPatterns
from sandbox.git.manifest import Manifest, ManifestEntry
from sandbox.patch.values import LeftOut, LeftOutKind, bounded


def selected(
    changed: Mapping[bytes, ManifestEntry | None],
    found: list[LeftOut],
    manifest: Manifest,
    policy: Policy,
    not_copied: Sequence[LeftOut],
) -> tuple[dict[bytes, ManifestEntry | None], list[LeftOut]]:
    """The changes that belong in the patch, and all that is left out of it.

    Args:
        changed: new entries by path; None: gone.
        found: what was left out before.
        manifest: the baseline, whose ignore rules count.
        not_copied: what of the workspace was not copied in.
    """
    rules = IgnoreRules(manifest, policy.export.ignore, policy.export.include)
    exclude = OperatorPatterns(policy.workspace.exclude)
    there = (LeftOutKind.UNUSABLE, LeftOutKind.BORROWED)
    known = {item.path: item for item in not_copied if item.kind not in there}
    writable = _writable(policy)
    kept: dict[bytes, ManifestEntry | None] = {}
    left_out = _without_ignored(found, rules)
    for path, entry in changed.items():
        if path.rpartition(b"/")[2] == b".git":
            continue  # what a submodule has in place of a repository: no patch carries either
        reason = rules.ignored(path)
        if reason is None and exclude.cover(path):
            reason = "excluded by the policy"
        if reason is None and (hidden := _covering(path, known)) is not None:
            # The patch can't be made against what stands on the host.
            why = "stands below" if hidden.kind is LeftOutKind.PREPARED else "was not copied in, as"
            reason = f"{why} {os.fsdecode(hidden.path)}, which {hidden.reason}"
        if reason is None and not writable(path):
            # Landlock holds content and names; a mode or an extended attribute it does not.
            reason = "outside of what the policy lets be written"
        if reason is None:
            kept[path] = entry
        elif entry is not None or path in manifest.entries:
            left_out.append(LeftOut(path=path, reason=reason, kind=LeftOutKind.RULE))
    left_out += [LeftOut(path=b".gitignore", reason=note) for note in rules.notes]
    return kept, left_out


def _covering(path: bytes, known: Mapping[bytes, LeftOut]) -> LeftOut | None:
    while path and path not in known:
        path = path.rpartition(b"/")[0]
    return known.get(path)


def _without_ignored(found: list[LeftOut], rules: IgnoreRules) -> list[LeftOut]:
    """What was left out, without the notes on modes and empty directories that are ignored."""
    empty, odd, rest = [], [], []
    for item in found:
        if item.kind is LeftOutKind.EMPTY_DIRECTORY:
            empty += [item] if rules.ignored(item.path + b"/.") is None else []
        elif item.kind is LeftOutKind.MODE:
            odd += [item] if rules.ignored(item.path) is None else []
        else:
            rest.append(item)
    return [*rest, *bounded(empty), *bounded(odd)]


def _writable(policy: Policy) -> Callable[[bytes], bool]:
    tops = [os.fsencode(absolute(entry)) for entry in policy.paths.write]

    def writable(path: bytes) -> bool:
        full = WORKSPACE.encode() + b"/" + path
        return any(top in {full, b"/"} or full.startswith(top + b"/") for top in tops)

    return writable
