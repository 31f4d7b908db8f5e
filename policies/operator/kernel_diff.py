"""What one policy's kernel rules grant beyond another's, in one image."""

from collections.abc import Iterator, Mapping

from policies.kernel.image import Inventory
from policies.kernel.rules import Access, KernelRules, granted_at, kernel_rules
from policies.operator.diff import WiderPermission
from policies.policy import Policy

_NOTHING = Access(0)
_KINDS = ((Access.EXECUTE, "executes"), (Access.READ, "reads the program"))


def more_in_kernel(than: Policy, policy: Policy, inventory: Inventory) -> Iterator[WiderPermission]:
    """Programs that become executable or readable, and places that become writable."""
    mine = _by_path(kernel_rules(policy, inventory, may_ask=True))
    before = _by_path(kernel_rules(than, inventory, may_ask=True))
    for program in sorted(inventory.programs):
        new = granted_at(mine, program, _NOTHING) & ~granted_at(before, program, _NOTHING)
        for bit, verb in _KINDS:
            if bit in new:
                yield _said(policy, "commands", f"{verb} {program}")
                break
    for path in sorted(mine):
        new = mine[path] & ~granted_at(before, path, _NOTHING)
        if Access.WRITE in new:
            yield _said(policy, "paths.write", f"writes below {path}")
        if Access.EXECUTE in new and path not in inventory.programs:
            yield _said(policy, "exec_workspace", f"executes what lies below {path}")


def _by_path(rules: KernelRules) -> Mapping[str, Access]:
    return {rule.path: rule.access for rule in rules.rules}


def _said(policy: Policy, key: str, what: str) -> WiderPermission:
    where = policy.places.get(key, policy.where)
    return WiderPermission(key="kernel", what=what, where=where)
