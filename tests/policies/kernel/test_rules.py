"""A policy and an image become rules: what is listed runs, and nothing else can even be read."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from policies.kernel.image import Inventory, Program
from policies.kernel.rules import Access, KernelRules, kernel_rules
from policies.loading import load
from policies.policy import Policy

R, W, X, L = Access.READ, Access.WRITE, Access.EXECUTE, Access.LIST
Make = Callable[[str], Policy]

ELF = None
PROGRAMS: Mapping[str, str | None] = {
    "/usr/bin/bash": ELF,
    "/usr/bin/dash": ELF,
    "/usr/bin/ls": ELF,
    "/usr/bin/curl": ELF,
    "/usr/bin/git": ELF,
    "/usr/bin/perl": ELF,
    "/usr/bin/rg": ELF,
    "/usr/bin/python3.11": ELF,
    "/usr/bin/pytest": "/usr/bin/python3",
    "/usr/bin/envtool": "/usr/bin/env python3",
    "/usr/bin/env": ELF,
    "/usr/bin/mawk": ELF,
    "/usr/bin/x86_64-linux-gnu-gcc-12": ELF,
    "/usr/bin/x86_64-linux-gnu-as": ELF,
    "/usr/bin/busybox": ELF,
    "/usr/bin/unzip": ELF,
    "/usr/bin/zipinfo": ELF,
    "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2": ELF,
    "/usr/lib/x86_64-linux-gnu/libc.so.6": ELF,
    "/usr/lib/git-core/git-submodule": "/bin/sh",
    "/usr/lib/git-core/git-send-email": "/usr/bin/perl",
    "/usr/lib/git-core/git-remote-http": ELF,
    "/usr/lib/gcc/x86_64-linux-gnu/12/cc1": ELF,
    "/usr/lib/python3.11/pdb.py": "/usr/bin/python3",
    "/usr/lib/python3.11/driver/node": ELF,
    "/usr/sbin/useradd": ELF,
    "/etc/cron.daily/dpkg": "/bin/sh",
    "/home/agent/.local/bin/left": ELF,
    "/usr/bin/rm": ELF,
    "/usr/bin/ls-again": ELF,
    "/usr/bin/coreutils": ELF,
    "/usr/bin/sum": "/usr/bin/coreutils --coreutils-prog-shebang=sum",
    "/usr/bin/chroot": "/usr/bin/coreutils --coreutils-prog-shebang=chroot",
    "/usr/bin/split-tool": "/usr/bin/env -S python3 -X dev",
    "/usr/bin/assigning": "/usr/bin/env -iS A=b -u C python3",
    "/usr/bin/one-word": "/usr/bin/env python3 -X",
    "/usr/bin/relative": "python3",
    "/usr/bin/editor": ELF,
}
PERL_LIBRARY = "/usr/lib/x86_64-linux-gnu/libperl.so.5.36.0"
NEEDS = {"/usr/bin/editor": ("libmiddle.so.1",)}
LIBRARIES = {
    PERL_LIBRARY: ("libc.so.6",),
    "/usr/lib/x86_64-linux-gnu/libmiddle.so.1": ("libperl.so.5.36",),
    "/usr/lib/x86_64-linux-gnu/libz.so.1": (),
    "/usr/lib/x86_64-linux-gnu/libodd.so": (),
    "/usr/lib/libpython3.11.so.1.0": (),
}
LINKS = {
    "/bin": "/usr/bin",
    "/lib": "/usr/lib",
    "/usr/bin/sh": "/usr/bin/dash",
    "/usr/bin/python3": "/usr/bin/python3.11",
    "/usr/bin/awk": "/usr/bin/mawk",
    "/usr/bin/nawk": "/usr/bin/mawk",
    "/usr/bin/gcc": "/usr/bin/x86_64-linux-gnu-gcc-12",
    "/usr/bin/cc": "/usr/bin/x86_64-linux-gnu-gcc-12",
    "/usr/bin/as": "/usr/bin/x86_64-linux-gnu-as",
    "/usr/bin/wget": "/usr/bin/busybox",
    "/usr/bin/vi": "/usr/bin/busybox",
    "/usr/bin/out": "/usr/share/data",
    "/usr/lib/x86_64-linux-gnu/libperl.so.5.36": PERL_LIBRARY,
}
OTHER_FILES = ("/usr/bin/readme.txt", "/etc/passwd", "/etc/cron.daily/.placeholder",
               "/usr/lib/python3.11/os.py", "/usr/lib/git-core/git-sh-setup")  # fmt: skip
PLAIN_DIRECTORIES = ("/usr/share", "/workspace", "/tmp", "/var", "/proc", "/sys", "/dev", "/opt")


def inventory() -> Inventory:
    programs = {
        path: Program(path=path, interpreter=interpreter, inode=number, needs=NEEDS.get(path, ()))
        for number, (path, interpreter) in enumerate(PROGRAMS.items())
    }
    for path, other in (("/usr/bin/unzip", "zipinfo"), ("/usr/bin/rm", "ls-again")):
        one = programs[path].inode
        programs[f"/usr/bin/{other}"] = replace(programs[f"/usr/bin/{other}"], inode=one)
    children: dict[str, set[str]] = {"/": set()}
    for path in (*PROGRAMS, *OTHER_FILES, *LINKS, *LIBRARIES):
        directory, _, name = path.rpartition("/")
        children.setdefault(directory or "/", set()).add(name + ("@" if path in LINKS else ""))
    for path in [*children, *PLAIN_DIRECTORIES]:
        parts = path.strip("/").split("/") if path != "/" else []
        for depth, name in enumerate(parts):
            children.setdefault("/" + "/".join(parts[:depth]), set()).add(f"{name}/")
    return Inventory(
        programs=programs,
        libraries=LIBRARIES,
        links=LINKS,
        directories={path: tuple(sorted(names)) for path, names in children.items()},
        search_path=("/home/agent/.local/bin", "/usr/local/bin", "/usr/bin", "/bin"),
    )


def access(rules: KernelRules, path: str) -> Access:
    """What Landlock would grant on a path: the union over it and all above it."""
    granted = Access(0)
    for rule in rules.rules:
        if rule.path in {"/", path} or path.startswith(rule.path + "/"):
            granted |= rule.access
    return granted


def rules_of(make_policy: Make, text: str, *, may_ask: bool = False) -> KernelRules:
    return kernel_rules(make_policy(text), inventory(), may_ask=may_ask)


def test_what_is_listed_runs_and_what_is_not_can_not_be_read(make_policy: Make) -> None:
    rules = rules_of(make_policy, "commands: [ls]\n")
    assert access(rules, "/usr/bin/ls") == R | X | L
    for path in ("/usr/bin/curl", "/usr/bin/perl", "/usr/sbin/useradd", "/usr/bin/python3.11",
                 "/etc/cron.daily/dpkg", "/usr/lib/git-core/git-submodule"):  # fmt: skip
        assert access(rules, path) == L


def test_what_is_no_program_stays_readable(make_policy: Make) -> None:
    rules = rules_of(make_policy, "commands: []\n")
    for path in (*OTHER_FILES, "/usr/share/data", "/opt/x", "/usr/lib/x86_64-linux-gnu/libodd.so"):
        assert access(rules, path) == R | L


def test_the_shell_and_the_loader_always_run(make_policy: Make) -> None:
    rules = rules_of(make_policy, "commands: []\n")
    for path in ("/usr/bin/bash", "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
                 "/usr/lib/x86_64-linux-gnu/libc.so.6"):  # fmt: skip
        assert access(rules, path) & X
    runs = [rule.path for rule in rules.rules if rule.access & X]
    assert len(runs) == 3


def test_a_script_brings_its_interpreter_and_says_so(make_policy: Make) -> None:
    rules = rules_of(make_policy, "commands: [pytest]\n")
    assert access(rules, "/usr/bin/python3.11") & X
    assert any("pytest brings /usr/bin/python3.11" in note for note in rules.notes)
    through_env = rules_of(make_policy, "commands: [envtool]\n")
    assert access(through_env, "/usr/bin/env") & X
    assert access(through_env, "/usr/bin/python3.11") & X


def test_a_library_script_is_readable_and_does_not_run(make_policy: Make) -> None:
    rules = rules_of(make_policy, "commands: [python3]\n")
    assert access(rules, "/usr/lib/python3.11/pdb.py") == R | L
    without = rules_of(make_policy, "commands: [ls]\n")
    assert access(without, "/usr/lib/python3.11/pdb.py") == L


def test_a_program_among_modules_is_not_read_with_them(make_policy: Make) -> None:
    rules = rules_of(make_policy, "commands: [python3]\n")
    assert access(rules, "/usr/lib/python3.11/driver/node") == L


def test_git_brings_its_own_and_neither_perl_nor_transports(make_policy: Make) -> None:
    rules = rules_of(make_policy, "commands: [git]\n")
    assert access(rules, "/usr/lib/git-core/git-submodule") & X
    assert access(rules, "/usr/bin/dash") & X
    for path in ("/usr/bin/perl", "/usr/lib/git-core/git-send-email",
                 "/usr/lib/git-core/git-remote-http"):  # fmt: skip
        assert access(rules, path) == L


def test_a_compiler_brings_its_stages(make_policy: Make) -> None:
    rules = rules_of(make_policy, "commands: [cc]\n")
    for path in ("/usr/bin/x86_64-linux-gnu-gcc-12", "/usr/lib/gcc/x86_64-linux-gnu/12/cc1",
                 "/usr/bin/x86_64-linux-gnu-as"):  # fmt: skip
        assert access(rules, path) & X


def test_names_of_one_file_are_said_to_be_one(make_policy: Make) -> None:
    links = rules_of(make_policy, "commands: [vi]\n")
    assert "vi can't be held apart from busybox, wget here: all are /usr/bin/busybox" in links.notes
    (shared,) = links.granted.shared
    assert (shared.path, shared.listed) == ("/usr/bin/busybox", ("vi",))
    assert shared.others == ("/usr/bin/busybox", "/usr/bin/wget")


def test_hard_links_and_copies_are_said_to_be_one(make_policy: Make) -> None:
    hard = rules_of(make_policy, "commands: [rm]\n")
    assert "rm can't be held apart from ls-again here: both are /usr/bin/rm" in hard.notes
    both = rules_of(make_policy, "commands: [rm, ls-again]\n")
    assert both.granted.shared == ()


def test_versions_and_plain_aliases_of_one_program_are_not_worth_a_word(make_policy: Make) -> None:
    text = "commands: [python, gcc, awk, dash, unzip, git]\n"
    assert rules_of(make_policy, text).granted.shared == ()


def test_scripts_that_a_multi_call_program_runs_are_names_of_it(make_policy: Make) -> None:
    rules = rules_of(make_policy, "commands: [sum]\n")
    assert access(rules, "/usr/bin/coreutils") & X
    (shared,) = rules.granted.shared
    assert shared.listed == ("sum",)
    assert "/usr/bin/chroot" in shared.others


@pytest.mark.parametrize(
    ("name", "starts"),
    [
        ("split-tool", "/usr/bin/python3.11"),  # env -S python3 -X dev
        ("assigning", "/usr/bin/python3.11"),  # env -iS A=b -u C python3
        ("one-word", None),  # env python3 -X: one word to the kernel
        ("relative", None),  # python3: the kernel does not look in PATH
    ],
)
def test_the_first_line_is_read_as_the_kernel_and_env_read_it(
    make_policy: Make, name: str, starts: str | None
) -> None:
    rules = rules_of(make_policy, f"commands: [{name}]\n")
    runs = {brought.path for brought in rules.granted.brought if brought.by == f"/usr/bin/{name}"}
    assert runs - {"/usr/bin/env"} == ({starts} if starts else set())
    assert bool(access(rules, "/usr/bin/python3.11") & X) is (starts is not None)
    assert starts or any(f"/usr/bin/{name}" in note for note in rules.notes)


def test_a_library_that_is_a_program_is_as_forbidden_as_the_program(make_policy: Make) -> None:
    without = rules_of(make_policy, "commands: [python3]\n")
    assert access(without, PERL_LIBRARY) == L
    assert without.granted.libraries.withheld == {PERL_LIBRARY}
    assert access(without, "/usr/lib/x86_64-linux-gnu/libz.so.1") == R | L
    assert access(without, "/usr/lib/libpython3.11.so.1.0") == R | L
    assert access(rules_of(make_policy, "commands: [perl]\n"), PERL_LIBRARY) == R | L


def test_a_library_that_an_allowed_program_needs_comes_along_and_that_is_said(
    make_policy: Make,
) -> None:
    rules = rules_of(make_policy, "commands: [editor]\n")
    assert access(rules, PERL_LIBRARY) == R | L
    note = f"{PERL_LIBRARY} is loaded by /usr/bin/editor, so what it holds runs there"
    assert note in rules.notes


def test_a_path_through_links_leads_to_the_file(make_policy: Make) -> None:
    rules = rules_of(make_policy, "commands: [/bin/ls, /usr/bin/awk]\n")
    assert access(rules, "/usr/bin/ls") & X
    assert access(rules, "/usr/bin/mawk") & X
    assert rules.missing == ()


def test_what_the_image_lacks_is_listed_and_builtins_are_not(make_policy: Make) -> None:
    rules = rules_of(make_policy, "commands: [ls, ruff, cd, /opt/none, data, out]\n")
    assert rules.missing == ("ruff", "/opt/none", "data", "out")


def test_a_name_is_not_looked_up_where_the_agent_can_write(make_policy: Make) -> None:
    rules = rules_of(make_policy, "commands: [left]\n")
    assert rules.missing == ("left",)
    assert not access(rules, "/home/agent/.local/bin/left") & X


def test_what_needs_consent_runs_only_where_somebody_can_give_it(make_policy: Make) -> None:
    text = "commands: [{program: curl, ask: true}]\n"
    assert access(rules_of(make_policy, text), "/usr/bin/curl") == L
    assert access(rules_of(make_policy, text, may_ask=True), "/usr/bin/curl") & X


def test_a_program_without_any_permitted_arguments_does_not_run(make_policy: Make) -> None:
    rules = rules_of(make_policy, "commands: [{program: curl, args: []}]\n")
    assert access(rules, "/usr/bin/curl") == L


def test_searching_brings_its_program(make_policy: Make) -> None:
    rules = rules_of(make_policy, "tools: [search_files]\n")
    assert access(rules, "/usr/bin/rg") & X


@pytest.mark.parametrize("runs", [True, False])
def test_the_agents_own_places(make_policy: Make, runs: bool) -> None:  # noqa: FBT001
    text = f"paths: {{write: [.]}}\nexec_workspace: {str(runs).lower()}\n"
    rules = rules_of(make_policy, text)
    own = R | W | L | (X if runs else Access(0))
    for path in ("/workspace/a", "/tmp/a", "/home/agent/a"):
        assert access(rules, path) == own
    # A link to /tmp in every sandbox, so no place of its own.
    assert not access(rules, "/var/tmp/a") & (W | X)
    assert access(rules, "/dev/shm/a") == R | W | L
    assert access(rules, "/dev/null") == R | W | L
    assert access(rules, "/dev/sda") == L
    assert access(rules, "/proc/self/status") == R | L
    assert access(rules, "/sys/x") == R | L


def test_a_workspace_in_part_writable_is_readable_as_a_whole(make_policy: Make) -> None:
    rules = rules_of(make_policy, "paths: {write: [src, a.txt]}\n")
    assert access(rules, "/workspace/src/x") == R | W | L
    assert access(rules, "/workspace/a.txt") == R | W | L
    assert access(rules, "/workspace/b.txt") == R | L


def test_a_workspace_in_part_readable(make_policy: Make) -> None:
    rules = rules_of(make_policy, "paths: {write: [src], read: [docs]}\n")
    assert access(rules, "/workspace/docs/x") == R | L
    assert access(rules, "/workspace/src/x") == R | W | L
    assert access(rules, "/workspace/secret") == L


def test_nothing_outside_is_written_unless_the_operator_says_so(make_policy: Make) -> None:
    plain = rules_of(make_policy, "paths: {write: [.]}\n")
    for path in ("/", "/usr", "/etc/passwd", "/usr/bin/ls", "/opt/x", "/var/x", "/root"):
        assert not access(plain, path) & W
    said = rules_of(make_policy, "paths: {write: [/opt]}\n")
    assert access(said, "/opt/x") == R | W | L


def test_writing_among_programs_does_not_make_them_readable(make_policy: Make) -> None:
    rules = rules_of(make_policy, "commands: [ls]\npaths: {write: [/usr/bin]}\n")
    assert access(rules, "/usr/bin/curl") == W | L
    assert any("/usr/bin may be written: the programs below it" in n for n in rules.notes)


def test_rules_are_sorted_and_one_a_path() -> None:
    rules = kernel_rules(load("default"), inventory())
    paths = [rule.path for rule in rules.rules]
    assert paths == sorted(set(paths))


def test_a_great_many_names_of_one_file_are_worked_out_and_told_in_short(
    make_policy: Make,
) -> None:
    """With steps for each pair of them this takes minutes."""
    paths = [f"/usr/bin/p{number}" for number in range(20_000)]
    names = ("ls", "bash", *(path.rpartition("/")[2] for path in paths))
    crowd = Inventory(
        programs={
            f"/usr/bin/{name}": Program(path=f"/usr/bin/{name}", interpreter=None, inode=1)
            for name in names
        },
        links={f"/usr/bin/l{number}": path for number, path in enumerate(paths)},
        directories={"/": ("usr/",), "/usr": ("bin/",), "/usr/bin": names},
        search_path=("/usr/bin",),
    )
    rules = kernel_rules(make_policy("commands: [ls]\n"), crowd)
    assert len(rules.rules) < 40
    assert rules.granted.executable == {"/usr/bin/ls"}
    assert all(len(note) < 400 for note in rules.notes)
    assert len(rules.granted.shared[0].others) > 39_000
