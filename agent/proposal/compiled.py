"""Go, Rust, Java and make: one client each, which fetches what its manifest says."""

from agent.proposal.repository import RepositoryFiles
from agent.proposal.values import Lines, Proposed, ProposedLine


def _lines(reason: str, *values: str) -> Lines:
    return tuple(ProposedLine(value, reason) for value in values)


def go(files: RepositoryFiles) -> Proposed | None:
    if "go.mod" not in files:
        return None
    return Proposed(
        image="go",
        reason="go.mod is Go's",
        inputs=_lines("says which modules", *(it for it in ("go.mod", "go.sum") if it in files)),
        commands=_lines("the modules of go.mod, into the module cache", "go mod download"),
        network=_lines("the module proxy that your own go is configured for", "go"),
        verify=ProposedLine("go test ./...", "go.mod is there"),
    )


def rust(files: RepositoryFiles) -> Proposed | None:
    if "Cargo.toml" not in files:
        return None
    locked = "Cargo.lock" in files
    notes = ["cargo looks at a crate's targets before it fetches: src/ is an input for that"]
    if ".cargo" in files or files.listed(".cargo"):
        notes.append(".cargo may name another registry: set-up does not see it; configure your own")
    return Proposed(
        image="rust",
        reason="Cargo.toml is Rust's",
        inputs=_lines(
            "says which crates, and which targets",
            "Cargo.toml",
            *(("Cargo.lock",) if locked else ()),
            "src/**/*.rs",
        ),
        commands=_lines(
            "the crates of the lock" if locked else "the newest crates that fit",
            "cargo fetch --locked" if locked else "cargo fetch",
        ),
        network=_lines("the registry that your own cargo is configured for", "cargo"),
        verify=ProposedLine("cargo test --offline", "Cargo.toml is there"),
        notes=tuple(notes),
    )


def java(files: RepositoryFiles) -> Proposed | None:
    gradle = next((it for it in ("build.gradle", "build.gradle.kts") if it in files), None)
    if "pom.xml" in files:
        notes: tuple[str, ...] = ()
        if "<repositor" in (files.text("pom.xml") or ""):
            notes = (
                "pom.xml names another repository: add its host to the network if you trust it",
            )
        return Proposed(
            image="java",
            reason="pom.xml is Maven's",
            inputs=_lines("says which artifacts", "pom.xml", "**/pom.xml"),
            commands=_lines(
                "artifacts and plugins, into Maven's own store", "mvn -B -q dependency:go-offline"
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


def make(files: RepositoryFiles) -> Proposed | None:
    path = next((it for it in ("GNUmakefile", "makefile", "Makefile") if it in files), None)
    if path is None:
        return None
    targets = {line.partition(":")[0] for line in (files.text(path) or "").splitlines()}
    target = next((it for it in ("test", "check") if it in targets), None)
    verify = ProposedLine(f"make {target}", f"{path} has a target {target}") if target else None
    return Proposed(image="python", reason=f"{path}: make and a C compiler", verify=verify)
