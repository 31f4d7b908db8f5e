"""Go, Rust, Java, CMake and make: one client each, which fetches what its manifest says."""

import re

from agent.proposal.repository import RepositoryFiles
from agent.proposal.values import Lines, Proposed, ProposedLine, not_in_recipe

GO_MINOR, JAVA_MAJOR, RUST_MINOR = 23, 17, 96
"""What the recipes hold; a test that runs them compares."""
_MANIFESTS = "/tmp/manifests"  # noqa: S108 - set-up's own, cleared behind it
_TARGETS_OF_EACH = (
    r"""awk -F '["\047]' 'BEGIN { at["bin"] = "src/bin/"; at["bench"] = "benches/"; """
    """at["example"] = "examples/"; at["test"] = "tests/"; """
    r"""printf "" >"src/lib.rs"; printf "" >"build.rs" } """
    r'/^[ \t]*\[/ { gsub(/[][ \t\r]|#.*/, ""); kind = $0 } '
    r'/^[ \t]*name[ \t]*=/ && kind in at { printf "" >(at[kind] $2 ".rs") } '
    r"""/^[ \t]*default-run[ \t]*=/ { printf "" >("src/bin/" $2 ".rs") }' Cargo.toml"""
)
"""A file for each table of a target, in the folder of its kind: what is no binary may be called
`build` or `deps`, and a binary may not."""
_EMPTY_TARGETS = ("mkdir -p src/bin benches examples tests", _TARGETS_OF_EACH)
_EMPTY_TEST = (
    "mkdir -p src/test/java target/test-classes",
    """sh -c 'echo "class Probe { }" >src/test/java/Probe.java'""",
)
_COMPILED_TEST = (
    f"cd {_MANIFESTS} && javac -d . src/test/java/Probe.java && "
    f"find . -name pom.xml -execdir cp {_MANIFESTS}/Probe.class target/test-classes ';'"
)
_JAVA = re.compile(
    r"<(?:java\.version|release|(?:maven\.compiler\.)(?:release|source|target))>(\d{1,3})<"
)
_SKIPPED = (
    "checkstyle", "enforcer", "exec", "license", "maven.antrun", "maven.buildNumber",
    "maven.gitcommitid", "rat", "spotless.check",
)  # fmt: skip
"""Plugins that look for files, which are no input, or run scripts; fetched all the same."""
_REGISTRY = re.compile(r"\b(?:registr(?:y|ies)|source)\b")
_CTEST = re.compile(r"\benable_testing\s{0,9}\(|\binclude\s{0,9}\(\s{0,9}CTest\b", re.IGNORECASE)


def _copied(names: str, *then: str) -> str:
    """A command that copies manifests to a folder, and does something beside each there: the
    workspace's own may be in use by other clients."""
    manifest = names.replace("*", "toml")
    beside = " ".join(f"-execdir {it} ';'" for it in then)
    return (
        f"mkdir -p {_MANIFESTS} && find . -name '{names}' -exec cp --parents '{{}}' {_MANIFESTS} "
        f"';' && cd {_MANIFESTS} && find . -name {manifest} {beside}"
    )


def _lines(reason: str, *values: str) -> Lines:
    return tuple(ProposedLine(value, reason) for value in values)


def go(files: RepositoryFiles) -> Proposed | None:
    names = [it for it in ("go.work", "go.work.sum", "go.mod", "go.sum") if it in files]
    main = next((it for it in ("go.work", "go.mod") if it in names), None)
    if main is None:
        return None
    # `./...` is what the root's own module holds, and a workspace has several.
    several = "go list -f '{{.Dir}}/...' -m | xargs go test"
    suite = several if main == "go.work" else "go test ./..."
    said = re.search(r"(?m)^go 1\.(\d{1,4})\b", files.text(main) or "")
    notes = not_in_recipe("Go", "1.", GO_MINOR, said and int(said[1]), public="golang:")
    verify = ProposedLine(suite, f"{main} is there")
    if "modules.txt" in files.listed("vendor"):
        notes += ("vendor/ holds the modules: nothing is fetched",)
        return Proposed(image="go", reason=f"{main} is Go's", verify=verify, notes=notes)
    return Proposed(
        image="go",
        reason=f"{main} is Go's",
        inputs=_lines("says which modules", *names, "**/go.mod", "**/go.sum"),
        commands=_lines(f"the modules of {main}, into the module cache", "go mod download"),
        network=_lines("the module proxy that your own go is configured for", "go"),
        verify=verify,
        notes=notes,
    )


def rust(files: RepositoryFiles) -> Proposed | None:
    if "Cargo.toml" not in files:
        return None
    locked = "Cargo.lock" in files
    said = re.search(r'(?m)^rust-version\s*=\s*"1\.(\d{1,4})\b', files.text("Cargo.toml") or "")
    notes = not_in_recipe("Rust", "1.", RUST_MINOR, said and int(said[1]), public="rust:")
    if any(_REGISTRY.search(files.text(it) or "") for it in files.matching(".cargo", "config*")):
        notes += (".cargo may name another registry: set-up does not see it; configure your own",)
    fetched = "the crates of the lock" if locked else "the newest crates that fit"
    return Proposed(
        image="rust",
        reason="Cargo.toml is Rust's",
        inputs=_lines(
            "says which crates", "Cargo.toml", *(("Cargo.lock",) if locked else ()), "**/Cargo.toml"
        ),
        commands=(
            *_lines(
                "cargo looks for the targets of each crate before it fetches: empty files will do",
                _copied("Cargo.*", *_EMPTY_TARGETS),
            ),
            *_lines(fetched, f"cd {_MANIFESTS} && cargo fetch{' --locked' if locked else ''}"),
        ),
        network=_lines("the registry that your own cargo is configured for", "cargo"),
        verify=ProposedLine("cargo test --offline", "Cargo.toml is there"),
        notes=notes,
    )


def java(files: RepositoryFiles) -> Proposed | None:
    gradle = next((it for it in ("build.gradle", "build.gradle.kts") if it in files), None)
    if "pom.xml" in files:
        pom = files.text("pom.xml") or ""
        wanted = max(map(int, _JAVA.findall(pom)), default=None)
        notes: tuple[str, ...] = (
            "Maven runs in set-up what pom.xml binds to a build, scripts too: give it no secret",
            *not_in_recipe("Java", "", JAVA_MAJOR, wanted, public="maven:3-eclipse-temurin-"),
        )
        if "<repositor" in pom:
            notes += (
                "pom.xml names another repository: add its host to the network if you trust it",
            )
        return Proposed(
            image="java",
            reason="pom.xml is Maven's",
            inputs=_lines("says which artifacts", "pom.xml", "**/pom.xml"),
            commands=(
                *_lines(
                    "a test that does nothing, in each module: what Surefire runs tests by is "
                    "fetched by no other goal",
                    _copied("pom.xml", *_EMPTY_TEST),
                ),
                *_lines(
                    "compiled as well: where tests have a folder of another name, Maven sees none",
                    _COMPILED_TEST,
                ),
                *_lines(
                    "artifacts and plugins of the tests, into Maven's own store",
                    f"cd {_MANIFESTS} && mvn -B -q test -Dtest=Probe -DfailIfNoTests=false "
                    "-Dsurefire.failIfNoSpecifiedTests=false"
                    + "".join(f" -D{it}.skip" for it in _SKIPPED),
                ),
            ),
            network=_lines("the repository that your own Maven is configured for", "maven"),
            verify=ProposedLine("mvn -B -o test", "pom.xml is there"),
            notes=notes,
        )
    if gradle is None:
        return None
    return Proposed(
        image="java",
        reason=f"{gradle} is Gradle's",
        notes=(
            f"{gradle} is a program, which is not run here: write the set-up commands yourself",
        ),
    )


def cmake(files: RepositoryFiles) -> Proposed | None:
    text = files.text("CMakeLists.txt")
    if text is None:
        return None
    suite = "cmake -S . -B build && cmake --build build && ctest --test-dir build "
    suite += "--output-on-failure"
    notes: tuple[str, ...] = ()
    if "FetchContent_" in text or "ExternalProject_" in text:
        notes = ("CMakeLists.txt fetches sources in a build, which has no network here",)
    return Proposed(
        image="c",
        reason="CMakeLists.txt is CMake's",
        verify=ProposedLine(suite, "CMakeLists.txt has tests") if _CTEST.search(text) else None,
        notes=notes,
    )


def make(files: RepositoryFiles) -> Proposed | None:
    path = next((it for it in ("GNUmakefile", "makefile", "Makefile") if it in files), None)
    if path is None:
        return None
    targets = {line.partition(":")[0] for line in (files.text(path) or "").splitlines()}
    target = next((it for it in ("test", "check") if it in targets), None)
    verify = ProposedLine(f"make {target}", f"{path} has a target {target}") if target else None
    return Proposed(image="python", reason=f"{path}: make and a C compiler", verify=verify)
