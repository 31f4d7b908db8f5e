"""The gate: what a stranger's patch may not carry, found in the patch itself."""

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from agent.risk.finding import Finding, Severity
from agent.risk.gate import COMPARED, inspect
from fakes.box import TmpBox
from policies.policy import Policy
from sandbox.git.manifest import SYMLINK
from sandbox.patch.values import ChangeKind, Patch


@pytest.fixture
def plain_box() -> Iterator[TmpBox]:
    box = TmpBox(files={"src/a.py": b"a\n", "docs/b.md": b"b\n", "link-to-be": b"x\n"})
    yield box
    box.close()


def found(box: TmpBox, policy: Policy) -> list[tuple[str, bytes, bool]]:
    return [
        (finding.id, finding.path, finding.refuses)
        for finding in inspect(box.export(compared=COMPARED), policy)
        if finding.severity is Severity.DANGER
    ]


def link(box: TmpBox, path: str, target: str) -> None:
    place = box.workspace / path
    place.unlink(missing_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    os.symlink(target, place)


def test_an_honest_change_has_no_danger_in_it(plain_box: TmpBox, policy: Policy) -> None:
    plain_box.write_file("src/a.py", b"b\n")
    link(plain_box, "docs/deep/link", "../b.md")
    assert found(plain_box, policy) == []


@pytest.mark.parametrize(
    "target",
    ["/etc/passwd", "../outside", "docs/../../outside", "..", ".git/hooks", "/workspace/a"],
)
def test_a_link_out_of_the_tree_refuses(plain_box: TmpBox, policy: Policy, target: str) -> None:
    link(plain_box, "new-link", target)
    assert found(plain_box, policy) == [("escaping-symlink", b"new-link", True)]


def test_a_file_that_becomes_a_link_is_looked_at(plain_box: TmpBox, policy: Policy) -> None:
    link(plain_box, "link-to-be", "/etc/passwd")
    assert found(plain_box, policy) == [("escaping-symlink", b"link-to-be", True)]


def test_a_link_inside_the_tree_beside_other_changes_is_fine(
    plain_box: TmpBox, policy: Policy
) -> None:
    link(plain_box, "z-link", "docs/b.md")
    plain_box.write_file("src/a.py", b"c\n")
    assert found(plain_box, policy) == []


def test_content_that_looks_like_a_patch_hides_no_link(plain_box: TmpBox, policy: Policy) -> None:
    fake = b"diff --git a/x b/x\nnew file mode 100644\n@@ -0,0 +1 @@\n+safe\n"
    plain_box.write_file("a-decoy", fake)
    plain_box.write_file("src/a.py", b"a\n" + fake)
    link(plain_box, "z-link", "/etc/passwd")
    assert found(plain_box, policy) == [("escaping-symlink", b"z-link", True)]


def test_a_link_beside_binaries_is_found(plain_box: TmpBox, policy: Policy) -> None:
    plain_box.write_file("bin", os.urandom(4096))
    link(plain_box, "c-link", "/etc/passwd")
    plain_box.write_file("zbin", b"\0diff --git a b\n" + os.urandom(4096))
    assert found(plain_box, policy) == [("escaping-symlink", b"c-link", True)]


def test_protected_paths_refuse_in_any_case_and_when_moved_away(
    plain_box: TmpBox, policy: Policy
) -> None:
    policy = replace(policy, paths=replace(policy.paths, protect=("docs/**", ".github/**")))
    (plain_box.workspace / "docs/b.md").rename(plain_box.workspace / "moved.md")
    plain_box.write_file(".GITHUB/workflows/ci.yml", b"on: push\n")
    paths = {path for _, path, refuses in found(plain_box, policy) if refuses}
    assert paths == {b"docs/b.md", b".GITHUB/workflows/ci.yml"}


@pytest.mark.parametrize(
    ("protect", "place"),
    [
        ("ci/**", "ci"),
        ("ci/deploy/**", "ci"),
        ("/ci/deploy/run.sh", "CI"),
        ("**/deploy/run.sh", "lib/deploy"),
        ("ci/*/run.sh", "ci/any"),
    ],
)
def test_a_link_on_the_way_to_what_is_protected_refuses(
    protect: str, place: str, plain_box: TmpBox, policy: Policy
) -> None:
    """What is below it then has a protected name, though the patch writes it by another."""
    policy = replace(policy, paths=replace(policy.paths, protect=(protect,)))
    plain_box.write_file("other/deploy/run.txt", b"echo\n")
    (plain_box.workspace / place).parent.mkdir(exist_ok=True)
    link(plain_box, place, "../other" if "/" in place else "other")
    link(plain_box, "harmless", "other")
    refusing = {path for _, path, refuses in found(plain_box, policy) if refuses}
    assert place.encode() in refusing
    assert refusing <= {place.encode(), b"other/deploy/run.txt"}, "what is read by that name now"


@pytest.mark.parametrize(
    ("links", "protect", "changed"),
    [
        ({"ci": "tools/ci"}, "ci/**", "tools/ci/run.sh"),
        ({"ci": "tools/ci", "tools": "real/t"}, "ci/**", "real/t/ci/run.sh"),
        ({"a/deploy.sh": "../tools/x.sh"}, "a/deploy.sh", "tools/x.sh"),
        ({"all": "."}, "all/tools/**", "tools/x"),
        ({"CI": "tools"}, "ci/**", "tools/x"),
        ({"tools/self": "../tools", "p": "tools/self"}, "p/**", "tools/x"),
        ({f"b{i}/n{j}": f"../b{1 - i}" for i in range(2) for j in range(9)}, "z/**", "b0/x"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_link_that_stood_there_before_hides_no_protected_file(
    links: dict[str, str], protect: str, changed: str, policy: Policy
) -> None:
    policy = replace(policy, paths=replace(policy.paths, protect=(protect,)))
    box = TmpBox(files={changed: b"old\n", "free": b"\n"})
    old_links = {path.encode(): target.encode() for path, target in links.items()}
    try:
        box.write_file("free", b"new\n")
        assert refusing(replace(box.export(compared=COMPARED), old_links=old_links), policy) == []
        box.write_file(changed, b"new\n")
        patch = replace(box.export(compared=COMPARED), old_links=old_links)
        assert refusing(patch, policy) == [("protected-path", changed.encode())]
    finally:
        box.close()


def refusing(patch: Patch, policy: Policy) -> list[tuple[str, bytes]]:
    return [(row.id, row.path) for row in inspect(patch, policy) if row.refuses]


def test_what_is_obeyed_by_another_name_is_found_by_it(policy: Policy) -> None:
    box = TmpBox(files={"docs/how.md": b"old\n"})
    try:
        box.write_file("docs/how.md", b"new\n")
        patch = replace(box.export(compared=COMPARED), old_links={b"CLAUDE.md": b"docs/how.md"})
        (finding,) = inspect(patch, policy)
        assert (finding.id, finding.path) == ("agent-instructions", b"docs/how.md")
        assert finding.reason.endswith(", as CLAUDE.md")
    finally:
        box.close()


def test_a_manifest_behind_a_link_is_told_as_not_compared(policy: Policy) -> None:
    box = TmpBox(files={"data.json": b"{}\n"})
    try:
        box.write_file("data.json", b'{"scripts": {"postinstall": "x"}}\n')
        links = {b"web/package.json": b"../data.json"}
        (finding,) = inspect(replace(box.export(compared=COMPARED), old_links=links), policy)
        assert (finding.id, finding.path) == ("not-inspected", b"data.json")
        assert "as web/package.json" in finding.reason
    finally:
        box.close()


def test_a_link_that_moves_leads_elsewhere_and_is_told(plain_box: TmpBox, policy: Policy) -> None:
    link(plain_box, "docs/to", "b.md")
    patch = plain_box.export(compared=COMPARED)
    (change,) = patch.changes
    moved = replace(
        change, kind=ChangeKind.RENAMED, old_path=b"to", old_mode=SYMLINK, old_blob=change.new_blob
    )
    (finding,) = inspect(replace(patch, changes=(moved,)), policy)
    assert (finding.id, finding.path) == ("symlink", b"docs/to")


def test_a_policy_may_only_show_what_it_does_not_refuse(plain_box: TmpBox, policy: Policy) -> None:
    policy = replace(policy, export=replace(policy.export, refuse=()))
    link(plain_box, "new-link", "/etc/passwd")
    assert found(plain_box, policy) == [("escaping-symlink", b"new-link", False)]


def test_a_patch_past_its_size_refuses_whatever_the_policy_lists(
    plain_box: TmpBox, policy: Policy
) -> None:
    policy = replace(policy, export=replace(policy.export, max_bytes=1000, refuse=()))
    plain_box.write_file("big", os.urandom(5000))
    assert found(plain_box, policy) == [("max-bytes", b"", True)]


def test_what_refuses_comes_first(plain_box: TmpBox, policy: Policy) -> None:
    policy = replace(
        policy,
        paths=replace(policy.paths, protect=("aaa",)),
        export=replace(policy.export, refuse=("escaping-symlink",)),
    )
    plain_box.write_file("aaa", b"x")
    link(plain_box, "zzz", "/")
    first: Finding = inspect(plain_box.export(compared=COMPARED), policy)[0]
    assert first.path == b"zzz"
