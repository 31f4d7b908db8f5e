"""Go's, Rust's and Java's own clients against a real registry: a company's, at a private address,
by a certificate of its own. What set-up got from it is there for the agent, who has no network."""

import base64
import hashlib
import io
import json
import os
import re
import tarfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agent.proposal.compiled import GO_MINOR, JAVA_MAJOR, RUST_MINOR
from agent.proposal.proposing import propose
from images import recipes
from images.build import ensure
from images.setup.layer import find_or_make
from policies.loading import load
from sandbox import Sandbox
from sandbox.container.own_files import package
from sandbox.engine.docker import Engine
from sandbox.engine.first_member import first_member
from sandbox.engine.values import LABEL_DEADLINE, LABEL_MANAGED
from sandbox.errors import SetupFailed

pytestmark = pytest.mark.slow

PORT = 8443
PLUGINS = (
    "libmaven-compiler-plugin-java", "libmaven-enforcer-plugin-java",
    "libmaven-resources-plugin-java", "libsurefire-java", "junit4",
)  # fmt: skip
STARTS_S = 180
SLOW_S = 600


def _crate() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, text in {
            "Cargo.toml": '[package]\nname = "moonrock"\nversion = "1.2.3"\nedition = "2024"\n',
            "src/lib.rs": "pub fn weight() -> u32 { 42 }\n",
        }.items():
            member = tarfile.TarInfo(f"moonrock-1.2.3/{name}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return data.getvalue()


GO_MOD = "module corp.example/moonrock\n\ngo 1.22.0\n"
MODULE = {
    "corp.example/moonrock@v1.2.3/go.mod": GO_MOD,
    "corp.example/moonrock@v1.2.3/rock.go": "package moonrock\n\nfunc Weight() int { return 42 }\n",
}


def _go_module() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in MODULE.items():
            archive.writestr(name, text)
    return data.getvalue()


def _go_sum(files: Mapping[str, str]) -> str:
    """Go's own digest of files (`dirhash`, "h1")."""
    rows = [
        f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n" for name, text in files.items()
    ]
    return f"h1:{base64.b64encode(hashlib.sha256(''.join(rows).encode()).digest()).decode()}"


def _jar() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("weight.txt", "42\n")
    return data.getvalue()


_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>example.corp</groupId><artifactId>{name}</artifactId><version>1.2.3</version>
<packaging>jar</packaging>{more}</project>
"""


def _served(address: str) -> dict[str, bytes]:
    """The registry's files by path."""
    crate = _crate()
    row = {
        "name": "moonrock", "vers": "1.2.3", "deps": [], "features": {}, "yanked": False,
        "cksum": hashlib.sha256(crate).hexdigest(),
    }  # fmt: skip
    index = {"dl": f"{address}/cargo/{{crate}}-{{version}}.crate"}
    go, maven = "go/corp.example/moonrock/@v", "maven/example/corp/moonrock/1.2.3/moonrock-1.2.3"
    return {
        "cargo/config.json": json.dumps(index).encode(),
        "cargo/mo/on/moonrock": json.dumps(row).encode(),
        "cargo/moonrock-1.2.3.crate": crate,
        f"{go}/list": b"v1.2.3\n",
        f"{go}/v1.2.3.info": b'{"Version": "v1.2.3", "Time": "2026-01-02T03:04:05Z"}',
        f"{go}/v1.2.3.mod": GO_MOD.encode(),
        f"{go}/v1.2.3.zip": _go_module(),
        f"{maven}.pom": _POM.format(name="moonrock", more="").encode(),
        f"{maven}.jar": _jar(),
    }


@dataclass(frozen=True, kw_only=True)
class CompanyRegistry:
    engine: Engine
    container: str
    address: str
    certificate: bytes

    def asked(self) -> list[str]:
        """Status and path of each request so far."""
        return file_of(self.engine, self.container, "/asked").decode().splitlines()


def file_of(engine: Engine, container: str, path: str) -> bytes:
    found = first_member(engine, container, path, limit=1 << 20)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def registry(engine: Engine) -> Iterator[CompanyRegistry]:
    image = ensure(engine, "java", on_progress=lambda _: None)
    begin = (
        f"apt-get update -qq && apt-get install -qq -y --no-install-recommends {' '.join(PLUGINS)}"
        " && cp -rL /usr/share/maven-repo/. /srv/maven && exec python3 -I /registry.py"
    )
    container = engine.create(
        {
            "Image": image,
            "Cmd": ["sh", "-c", begin],
            "User": "0",
            "Labels": {LABEL_MANAGED: "1", LABEL_DEADLINE: str(int(time.time()) + 1800)},
            "HostConfig": {"NetworkMode": "bridge"},
        }
    )
    try:
        program = (Path(__file__).parent / "registry.py").read_bytes()
        engine.start(container)
        address = engine.inspect(container)["NetworkSettings"]["IPAddress"]
        files = {f"srv/{path}": data for path, data in _served(f"https://{address}:{PORT}").items()}
        engine.put_archive(container, "/", [package({"registry.py": program, **files})])
        until = time.monotonic() + STARTS_S
        while not engine.stands(container, "/srv/own.pem"):
            assert time.monotonic() < until
            assert engine.inspect(container)["State"]["Running"]
            time.sleep(0.2)
        yield CompanyRegistry(
            engine=engine, container=container, address=f"https://{address}:{PORT}",
            certificate=file_of(engine, container, "/srv/own.pem"),
        )  # fmt: skip
    finally:
        engine.remove(container)


@pytest.fixture
def company(engine: Engine, registry: CompanyRegistry, tmp_path: Path) -> Engine:
    """The engine of somebody who works there: their clients' configuration, and their authority.

    The clients of this machine are stand-ins that say where they are; those in set-up are real.
    """
    home, programs = tmp_path / "home", tmp_path / "bin"
    for path, text in {
        home / "own.pem": registry.certificate.decode(),
        home / ".cargo/config.toml": '[source.crates-io]\nreplace-with = "corp"\n[source.corp]\n'
        f'registry = "sparse+{registry.address}/cargo/"\n',
        home / ".m2/settings.xml": "<settings><mirrors><mirror><id>corp</id><mirrorOf>*</mirrorOf>"
        f"<url>{registry.address}/maven</url></mirror></mirrors></settings>",
        programs / "cargo": "#!/bin/sh\n",
        programs / "mvn": "#!/bin/sh\n",
        programs / "go": f"#!/bin/sh\nprintf '%s\\n' {registry.address}/go off corp.example ''\n",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    environ = {
        **os.environ, "HOME": str(home), "PATH": f"{programs}:{os.environ['PATH']}",
        "SSL_CERT_FILE": str(home / "own.pem"),
    }  # fmt: skip
    return Engine.connect(environ)


def passes(
    engine: Engine, workspace: Path, files: Mapping[str, str], *, versions: str = "true"
) -> str:
    """What the suite says in a sandbox, by what `moonpool init` proposes; then another command."""
    for path, text in files.items():
        place = workspace / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    proposal = propose(workspace, images=frozenset(recipes.names()))
    assert proposal.verify
    file = workspace.with_name("policy.yaml")
    file.write_text(proposal.text)
    policy = load(str(file))
    limits = replace(policy.limits, command_timeout_s=SLOW_S, time_s=2 * SLOW_S)
    policy = replace(policy, limits=limits)  # a slow machine is no failure
    image = ensure(engine, policy.image, on_progress=lambda _: None)
    said: list[str] = []
    try:
        layer = find_or_make(engine, image, policy, workspace, on_progress=said.append)
    except SetupFailed as error:
        pytest.fail("\n".join([*said, str(error)]))
    opened = Sandbox.open(workspace=workspace, policy=policy, image=layer.image, engine=engine)
    with opened as box:
        done = box.run(proposal.verify, timeout_s=SLOW_S)
        has = box.run(versions).stdout.decode()
    output = (done.stdout + done.stderr).decode()
    assert done.exit_code == 0, output
    return output + has


def test_cargo(company: Engine, registry: CompanyRegistry, workspace: Path) -> None:
    """Crates with targets, and a script, that must be there before anything is fetched."""
    head = '[package]\nname = "{}"\nversion = "0.1.0"\nedition = "2024"\n{}\n[dependencies]\n'
    files = {
        "Cargo.toml": '[workspace]\nresolver = "3"\nmembers = ["rock", "moon", "build"]\n',
        "rock/Cargo.toml": head.format("rock", 'links = "rock"')
        + 'moonrock = "1"\n[lib]\npath = "rock.rs"\n',
        "rock/build.rs": "fn main() {}\n",
        "rock/rock.rs": "pub use moonrock::weight;\n",
        "moon/Cargo.toml": head.format("moon", 'default-run = "orbit"')
        + 'rock = { path = "../rock" }\n[[bench]]\nname = "fast"\nharness = false\n'
        "[[test]] # of what is needed\r\n\tname = 'deps'\n",
        "moon/src/bin/orbit.rs": "fn main() {}\n",
        "moon/benches/fast.rs": "fn main() {}\n",
        "moon/tests/deps.rs": "",
        "moon/src/lib.rs": "#[test]\nfn weighs() { assert_eq!(rock::weight(), 42); }\n",
        "build/Cargo.toml": head.format("build", ""),  # a name that no binary may have
        "build/src/lib.rs": "",
    }
    said = passes(company, workspace, files, versions="rustc --version")
    assert "1 passed" in said
    minor = re.search(r"rustc 1\.([0-9]+)", said)
    assert minor
    assert int(minor[1]) >= RUST_MINOR  # Debian raises it within a release
    assert "200 /cargo/moonrock-1.2.3.crate" in registry.asked()


GO_TEST = """package moon

import (
	"corp.example/rock"
	"testing"
)

func TestWeight(t *testing.T) {
	if rock.Weight() != 42 {
		t.Fail()
	}
}
"""
GO_ROCK = """package rock

import "corp.example/moonrock"

func Weight() int { return moonrock.Weight() }
"""


def test_go(company: Engine, registry: CompanyRegistry, workspace: Path) -> None:
    """Two modules of one workspace."""
    sums = {"": _go_sum(MODULE), "/go.mod": _go_sum({"go.mod": GO_MOD})}
    head, needs = "module corp.example/{}\n\ngo 1.22.0\n", "require corp.example/moonrock v1.2.3"
    rock = "require corp.example/rock v0.0.0\nreplace corp.example/rock => ./rock\n"
    files = {
        "go.work": "go 1.22.0\n\nuse (\n\t.\n\t./rock\n)\n",
        "rock/go.sum": "".join(f"corp.example/moonrock v1.2.3{it} {sums[it]}\n" for it in sums),
        "go.mod": f"{head.format('moon')}{rock}{needs} // indirect\n",
        "go.sum": "".join(f"corp.example/moonrock v1.2.3{it} {sums[it]}\n" for it in sums),
        "moon_test.go": GO_TEST,
        "rock/go.mod": f"{head.format('rock')}{needs}\n",
        "rock/rock.go": GO_ROCK,
    }
    said = passes(company, workspace, files, versions="go version")
    assert "ok" in said
    assert f"go1.{GO_MINOR}" in said
    assert "200 /go/corp.example/moonrock/@v/v1.2.3.zip" in registry.asked()


JAVA_TEST = """import static org.junit.Assert.assertNotNull;

public class MoonTest {
    @org.junit.Test public void weighs() {
        assertNotNull(new Core().getClass().getResource("/weight.txt"));
    }
}
"""
ARTIFACT = "<{0}><groupId>{1}</groupId><artifactId>{2}</artifactId><version>{3}</version></{0}>"
VERSIONS = {
    "compiler": "3.10.1", "enforcer": "3.1.0", "resources": "3.3.0", "surefire": "2.22.3",
}  # fmt: skip
"""Of plugins, as Debian has them."""
CHECKS = """<build><testSourceDirectory>checks</testSourceDirectory><plugins><plugin>
<groupId>org.apache.maven.plugins</groupId><artifactId>maven-enforcer-plugin</artifactId>
<executions><execution><goals><goal>enforce</goal></goals><configuration><rules><requireFilesExist>
<files><file>${project.basedir}/LICENSE</file></files></requireFilesExist></rules></configuration>
</execution></executions></plugin></plugins></build>"""


def _above() -> str:
    plugins = "".join(
        ARTIFACT.format("plugin", "org.apache.maven.plugins", f"maven-{name}-plugin", version)
        for name, version in VERSIONS.items()
    )
    java = "".join(f"<maven.compiler.{it}>17</maven.compiler.{it}>" for it in ("source", "target"))
    modules = "<module>core</module><module>app</module>"
    more = (
        f"<properties>{java}</properties><build><plugins>{plugins}</plugins></build>"
        f"<modules>{modules}</modules>"
    )
    return _POM.format(name="moon", more=more).replace(">jar<", ">pom<")


def _module(name: str, *needed: tuple[str, str, str], build: str = "") -> str:
    above = ARTIFACT.format("parent", "example.corp", "moon", "1.2.3")
    rows = "".join(ARTIFACT.format("dependency", *it) for it in needed)
    return _POM.format(name=name, more=f"{above}<dependencies>{rows}</dependencies>{build}")


def test_maven(company: Engine, registry: CompanyRegistry, workspace: Path) -> None:
    """Two modules, one in need of the other. What knows JUnit is fetched by no goal but a test;
    that one's tests have a folder of another name, and it is checked for a file that is no input.
    """
    core, junit = ("example.corp", "core", "1.2.3"), ("junit", "junit", "4.13.2")
    files = {
        "pom.xml": _above(),
        "core/pom.xml": _module("core", ("example.corp", "moonrock", "1.2.3")),
        "core/src/main/java/Core.java": "public class Core { }\n",
        "app/pom.xml": _module("app", core, junit, build=CHECKS),
        "app/checks/MoonTest.java": JAVA_TEST,
        "app/LICENSE": "",
    }
    said = passes(company, workspace, files, versions="java --version")
    assert "Tests run: 1, Failures: 0" in said
    assert f"openjdk {JAVA_MAJOR}" in said
    assert "200 /maven/example/corp/moonrock/1.2.3/moonrock-1.2.3.jar" in registry.asked()
