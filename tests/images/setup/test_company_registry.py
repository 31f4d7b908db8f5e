"""Go's, Rust's and Java's own clients against a real registry: a company's, at a private address,
by a certificate of its own. What set-up got from it is there for the agent, who has no network."""

import base64
import hashlib
import io
import json
import os
import tarfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from images.build import ensure
from images.setup.layer import find_or_make
from policies.loading import load
from policies.policy import Policy
from sandbox import Sandbox
from sandbox.container.own_files import package
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_DEADLINE, LABEL_MANAGED
from sandbox.errors import SetupFailed

pytestmark = pytest.mark.slow

PORT = 8443
PLUGINS = (
    "libmaven-compiler-plugin-java", "libmaven-resources-plugin-java", "libsurefire-java",
    "libplexus-interpolation-java",
)  # fmt: skip
STARTS_S = 180


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


def _module() -> bytes:
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
        f"{go}/v1.2.3.zip": _module(),
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
        return self._file("/asked").decode().splitlines()

    def _file(self, path: str) -> bytes:
        return file_of(self.engine, self.container, path)


def file_of(engine: Engine, container: str, path: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(b"".join(engine.get_archive(container, path)))) as tar:
        file = tar.extractfile(tar.getmembers()[0])
        assert file is not None
        return file.read()


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


def tried(
    engine: Engine, name: str, workspace: Path, files: Mapping[str, str], **setup: object
) -> Sandbox:
    """A sandbox of the workspace on the layer of its set-up."""
    policy: Policy = load(name)
    policy = replace(policy, setup=replace(policy.setup, **setup))  # type: ignore[arg-type]
    for path, text in files.items():
        place = workspace / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    image = ensure(engine, policy.image, on_progress=lambda _: None)
    said: list[str] = []
    try:
        layer = find_or_make(engine, image, policy, workspace, on_progress=said.append)
    except SetupFailed as error:
        pytest.fail("\n".join([*said, str(error)]))
    return Sandbox.open(workspace=workspace, policy=policy, image=layer.image, engine=engine)


def passes(box: Sandbox, command: str) -> str:
    with box:
        done = box.run(command, timeout_s=240)
    assert done.exit_code == 0, (done.stdout + done.stderr).decode()
    return (done.stdout + done.stderr).decode()


def test_cargo(company: Engine, registry: CompanyRegistry, workspace: Path) -> None:
    box = tried(
        company, "rust", workspace,
        {
            "Cargo.toml": '[package]\nname = "moon"\nversion = "0.1.0"\nedition = "2024"\n'
            '[dependencies]\nmoonrock = "1"\n',
            "src/lib.rs": "#[test]\nfn weighs() { assert_eq!(moonrock::weight(), 42); }\n",
        },
        inputs=("Cargo.toml",), network=("cargo",),
        commands=("mkdir -p src && touch src/lib.rs && cargo fetch",),
    )  # fmt: skip
    assert "1 passed" in passes(box, "cargo test")
    assert "200 /cargo/moonrock-1.2.3.crate" in registry.asked()


GO_TEST = """package moon

import (
	"corp.example/moonrock"
	"testing"
)

func TestWeight(t *testing.T) {
	if moonrock.Weight() != 42 {
		t.Fail()
	}
}
"""


def test_go(company: Engine, registry: CompanyRegistry, workspace: Path) -> None:
    needs = "require corp.example/moonrock v1.2.3\n"
    box = tried(
        company, "go", workspace,
        {
            "go.mod": f"module corp.example/moon\n\ngo 1.22.0\n\n{needs}",
            "go.sum": f"corp.example/moonrock v1.2.3 {_go_sum(MODULE)}\n"
            f"corp.example/moonrock v1.2.3/go.mod {_go_sum({'go.mod': GO_MOD})}\n",
            "moon_test.go": GO_TEST,
        },
        inputs=("go.mod", "go.sum"), network=("go",), commands=("go mod download",),
    )  # fmt: skip
    assert "ok" in passes(box, "go test ./...")
    assert "200 /go/corp.example/moonrock/@v/v1.2.3.zip" in registry.asked()


def test_maven(company: Engine, registry: CompanyRegistry, workspace: Path) -> None:
    more = (
        "<dependencies><dependency><groupId>example.corp</groupId><artifactId>moonrock</artifactId>"
        "<version>1.2.3</version></dependency></dependencies>"
    )
    box = tried(
        company, "java", workspace,
        {
            "pom.xml": _POM.format(name="moon", more=more),
            "src/main/java/Moon.java": "class Moon { static int weight() { return 42; } }\n",
        },
        inputs=("pom.xml",), network=("maven",),
        commands=("mvn -B -q compile",),
    )  # fmt: skip
    passes(box, "mvn -B -o -q compile && ls target/classes/Moon.class")
    assert any("moonrock-1.2.3.jar" in row for row in registry.asked())
