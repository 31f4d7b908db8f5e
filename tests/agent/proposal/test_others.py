"""What is proposed for ecosystems beside Python."""

import json
import subprocess
from pathlib import Path

import pytest

from agent.proposal.repository import RepositoryFiles

from .conftest import Proposer

PACKAGE = '{"scripts": {"test": "tap"}, "devDependencies": {"tap": "^1"}}'


@pytest.mark.parametrize(
    ("lock", "command"),
    [
        ("package-lock.json", "npm ci --ignore-scripts "),
        ("npm-shrinkwrap.json", "npm ci --ignore-scripts "),
        ("README", "npm install --no-package-lock --ignore-scripts "),
    ],
)
def test_lock_decides_how_node_modules_are_made(
    proposed: Proposer, lock: str, command: str
) -> None:
    policy = proposed({"package.json": PACKAGE, lock: ""})
    (line,) = policy["setup"]["commands"]
    assert line.startswith(command)
    assert policy["setup"]["network"] == ["npm"]
    assert policy["image"] == "node"
    assert policy["verify"] == "npm test"
    assert "+commands" not in policy


@pytest.mark.parametrize(
    ("lock", "text", "client", "brought"),
    [
        ("yarn.lock", "# yarn lockfile v1\n", "", "yarn@1"),
        ("yarn.lock", "# yarn lockfile v1\n", "yarn@1.22.22+sha512.0", "yarn@1.22.22"),
        ("yarn.lock", "# x\n__metadata:\n  version: 6\n", "", "@yarnpkg/cli-dist@3"),
        ("yarn.lock", "# x\n__metadata:\n  version: 10\n", "pnpm@8.0.0", "@yarnpkg/cli-dist@4"),
        ("yarn.lock", "__metadata:\n  version: 8\n", "yarn@4.9.1", "@yarnpkg/cli-dist@4.9.1"),
        ("pnpm-lock.yaml", "lockfileVersion: 5.4\n", "", "pnpm@7"),
        ("pnpm-lock.yaml", "lockfileVersion: '6.0'\n", "", "pnpm@8"),
        ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n", "", "pnpm@10"),
        ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n", "pnpm@12.1.0+sha512.0", "pnpm@12.1.0"),
        ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n", "pnpm@9.2.3;id", "pnpm@10"),
        ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n", "pnpm@0.2.3", "pnpm@10"),
        ("yarn.lock", "# yarn lockfile v1\n", "yarn@4.9.1", "yarn@1"),
        ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n", "pnpm@file:..", "pnpm@10"),
    ],
)
def test_the_client_of_a_lock_is_brought_in_the_version_that_reads_it(
    proposed: Proposer, lock: str, text: str, client: str, brought: str
) -> None:
    manifest = {**json.loads(PACKAGE), "packageManager": client}
    policy = proposed({"package.json": json.dumps(manifest), lock: text})
    bring, line = policy["setup"]["commands"]
    assert bring.startswith("npm install --global --prefix /opt/venv --ignore-scripts ")
    assert bring.endswith(f" {brought}")
    assert "--ignore-scripts" in line or "--mode=skip-build" in line
    assert ("--ignore-pnpmfile" in line) == (lock == "pnpm-lock.yaml")
    assert policy["+commands"] == [lock[:4]]
    assert policy["setup"]["prepare"] == [f"{'pnpm' if 'pnpm' in lock else 'npm'} rebuild"]


def test_a_workspace_needs_set_up_though_its_root_depends_on_nothing(proposed: Proposer) -> None:
    policy = proposed({"package.json": '{"workspaces": ["a"]}', "package-lock.json": ""})
    assert policy["setup"]["commands"] == ["npm ci --ignore-scripts --no-audit --no-fund"]


def test_manifests_of_workspaces_are_inputs(proposed: Proposer) -> None:
    manifest = {**json.loads(PACKAGE), "workspaces": ["packages/*"]}
    policy = proposed({"package.json": json.dumps(manifest)})
    assert policy["setup"]["inputs"] == ["package.json", "**/package.json"]


@pytest.mark.parametrize("folder", ["patches", ".yarn/patches"])
def test_patches_of_packages_are_inputs(proposed: Proposer, folder: str) -> None:
    policy = proposed({"package.json": PACKAGE, f"{folder}/tap@1.patch": ""})
    assert policy["setup"]["inputs"] == ["package.json", f"{folder}/*"]


@pytest.mark.parametrize(
    ("script", "more"), [("npm run build", ["npm run prepare"]), ("husky install", [])]
)
def test_what_an_install_builds_in_a_clone_is_built(
    proposed: Proposer, script: str, more: list[str]
) -> None:
    manifest = {**json.loads(PACKAGE), "scripts": {"prepare": script}}
    policy = proposed({"package.json": json.dumps(manifest)})
    assert policy["setup"]["prepare"] == ["npm rebuild", *more]


def test_package_without_dependencies_needs_no_setup(proposed: Proposer) -> None:
    assert "setup" not in proposed({"package.json": '{"scripts": {"test": "node --test"}}'})


def test_registry_of_the_repository_is_told_and_not_taken(proposed: Proposer) -> None:
    policy = proposed({"package.json": PACKAGE, ".npmrc": "registry=https://evil.example"})
    assert policy["setup"]["inputs"] == ["package.json"]
    assert ".npmrc names a registry" in policy["text"]
    assert "evil" not in policy["text"]


def test_a_client_file_without_a_registry_is_not_worth_a_note(proposed: Proposer) -> None:
    said = "package-lock=false\n# registry=https://b.example\n"
    assert "registry or a key" not in proposed({"package.json": PACKAGE, ".npmrc": said})["text"]


NPMRC = """registry=https://evil.example
//evil.example/:_authToken=${NPM_TOKEN}
auto-install-peers = false
public-hoist-pattern[]=*types*
 cafile=x
node-linker=hoisted
"""
EXTENSIONS = 'packageExtensions:\n  "a@*":\n    dependencies:\n      b: "1"\n'
YARNRC = f"""npmRegistryServer: https://evil.example
{EXTENSIONS}
# of the repository
"npmRegistryServer": https://evil.example
plugins:
  - evil.cjs
compressionLevel: mixed
"""


@pytest.mark.parametrize(
    ("lock", "form", "name", "text", "left"),
    [
        ("package-lock.json", "", ".npmrc", "registry=x\nlegacy-peer-deps=true\n",
         "legacy-peer-deps=true\n"),
        ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n", ".npmrc", NPMRC,
         "auto-install-peers=false\npublic-hoist-pattern[]=*types*\nnode-linker=hoisted\n"),
        ("pnpm-lock.yaml", "", ".npmrc", "hoist=false\rregistry=x\nhoist=a'$(id)'\nhoist=true\r\n",
         "hoist=true\n"),
        ("yarn.lock", "__metadata:\n  version: 8\n", ".yarnrc.yml", "catalog:\rb:\r\n  c: 1\n",
         "catalog:b:\n  c: 1\n"),
        ("yarn.lock", "__metadata:\n  version: 8\n", ".yarnrc.yml", YARNRC,
         f"{EXTENSIONS}\n# of the repository\ncompressionLevel: mixed\n"),
    ],
)  # fmt: skip
def test_of_a_clients_file_only_what_a_lock_depends_on_is_left(
    proposed: Proposer, tmp_path: Path, *, lock: str, form: str, name: str, text: str, left: str
) -> None:
    policy = proposed({"package.json": PACKAGE, lock: form, name: text})
    assert (name in policy["setup"]["inputs"]) == (name == ".yarnrc.yml")
    (tmp_path / name).write_bytes(text.encode())
    line = policy["setup"]["commands"][0].replace("/tmp/kept", str(tmp_path / "kept"))
    subprocess.run(["bash", "-eo", "pipefail", "-c", line], cwd=tmp_path, check=True)
    assert (tmp_path / name).read_text() == left


@pytest.mark.parametrize(
    ("package", "scripts", "verify", "note"),
    [
        ("karma", {"test": "karma start"}, "npm test", "asks for karma, and the recipe has no"),
        ("playwright", {"test": "x", "test-unit": "y"}, "npm run test-unit", "may need playwright"),
        ("tap", {"test": "x", "test:unit": "y"}, "npm test", ""),
        ("tap", {"test": 'echo "Error: no test specified" && exit 1'}, None, ""),
        ("tap", {"test": "tap", "posttest": "npx npm audit"}, "npm test --ignore-scripts", ""),
    ],
)
def test_verify_is_what_can_pass_without_browser_and_network(
    proposed: Proposer, package: str, scripts: dict[str, str], verify: str | None, note: str
) -> None:
    manifest = {"scripts": scripts, "devDependencies": {package: "*"}}
    policy = proposed({"package.json": json.dumps(manifest)})
    assert policy["verify"] == verify
    assert ("limits" in policy) == (verify is not None)  # a whole suite in one command takes long
    assert note in policy["text"] if note else "browser" not in policy["text"]


@pytest.mark.parametrize(
    ("file", "image", "word", "verify"),
    [
        ("go.mod", "go", "go", "go test ./..."),
        ("go.work", "go", "go", "go list -f '{{.Dir}}/...' -m | xargs go test"),
        ("Cargo.toml", "rust", "cargo", "cargo test --offline"),
        ("pom.xml", "java", "maven", "mvn -B -o test"),
    ],
)
def test_manifest_decides_image_network_and_verify(
    proposed: Proposer, file: str, image: str, word: str, verify: str
) -> None:
    policy = proposed({file: ""})
    assert (policy["image"], policy["setup"]["network"]) == (image, [word])
    assert policy["extends"] == image
    assert policy["verify"] == verify
    assert file in policy["setup"]["inputs"]


@pytest.mark.parametrize(
    ("file", "text", "note"),
    [
        ("go.mod", "module a\n\ngo 1.99.0\n", "asks for Go 1.99, and the recipe has 1.23"),
        ("go.mod", "module a\n\ngo 1.22\n", ""),
        ("go.mod", "module a\n\ngo 1.9999999\n", ""),
        ("Cargo.toml", '[package]\nrust-version = "1.999.0"\n', "asks for Rust 1.999, and the"),
        ("Cargo.toml", '[workspace.package]\nrust-version = "1.85" # MSRV\n', ""),
        ("package.json", '{"engines": {"node": ">=99.1"}}', "Node.js 99, and the recipe has 24"),
        ("package.json", '{"engines": {"node": "^20.19.0 || >=99"}}', ""),
        ("package.json", '{"engines": {"node": ">=18 <99.5"}}', ""),
        ("package.json", '{"engines": {"node": ["99"]}}', ""),
        ("package.json", '{"engines": "99"}', ""),
        (
            "pyproject.toml",
            '[project]\nrequires-python = ">=3.99"\n',
            "such as python:3.99 once it",
        ),
        ("pyproject.toml", '[project]\nrequires-python = ">=3.11,<3.99"\n', ""),
        (
            "pyproject.toml",
            '[tool.poetry.dependencies]\npython = "^3.99"\n',
            "asks for Python 3.99",
        ),
        ("setup.cfg", "[options]\npython_requires = ==3.99.*\n", "asks for Python 3.99"),
        ("pom.xml", "<java.version>21</java.version>", "such as maven:3-eclipse-temurin-21 once"),
        ("pom.xml", "<maven.compiler.release>17</maven.compiler.release>", ""),
        ("pom.xml", "<maven.compiler.source>1.8</maven.compiler.source>", ""),
    ],
)
def test_a_version_that_the_recipe_has_not_is_told(
    proposed: Proposer, file: str, text: str, note: str
) -> None:
    said = proposed({file: text})["text"]
    assert note in said if note else "asks for" not in said


def test_the_file_of_a_version_manager_asks_for_a_version(proposed: Proposer) -> None:
    assert "asks for Node.js 99" in proposed({"package.json": "{}", ".nvmrc": "v99.1.0\n"})["text"]
    assert "asks for" not in proposed({"package.json": "{}", ".nvmrc": "lts/*\n"})["text"]


def test_modules_that_stand_in_the_repository_are_not_fetched(proposed: Proposer) -> None:
    policy = proposed({"go.mod": "module a\n", "vendor/modules.txt": ""})
    assert "setup" not in policy
    assert (policy["image"], policy["verify"]) == ("go", "go test ./...")


def test_sums_of_a_workspace_that_is_gone_are_no_manifest(proposed: Proposer) -> None:
    policy = proposed({"go.mod": "module a\n\ngo 1.99\n", "go.work.sum": ""})
    assert "go.mod is Go's" in policy["text"]
    assert "asks for Go 1.99" in policy["text"]


def test_two_ecosystems_share_the_image_of_several(proposed: Proposer) -> None:
    policy = proposed({"package.json": PACKAGE, "requirements.txt": "idna\n"})
    assert policy["image"] == policy["extends"] == "polyglot"
    assert policy["setup"]["network"] == ["pip", "npm"]


def test_an_image_of_several_without_java_is_said(proposed: Proposer) -> None:
    policy = proposed({"pom.xml": "", "requirements.txt": "idna\n"})
    assert "polyglot has no Java" in policy["text"]


def test_a_build_that_runs_in_setup_is_said(proposed: Proposer) -> None:
    policy = proposed({"pom.xml": ""})
    assert "scripts too: give it no secret" in policy["text"]
    assert "-Dmaven.antrun.skip" in policy["setup"]["commands"][-1]


def test_makefile_alone_gives_verify(proposed: Proposer) -> None:
    assert proposed({"Makefile": "all:\n\ncheck: all\n\t./t\n"})["verify"] == "make check"


CTEST = "cmake -S . -B build && cmake --build build && ctest --test-dir build --output-on-failure"


@pytest.mark.parametrize(
    ("text", "verify"),
    [
        ("project(a)\nenable_testing()\n", CTEST),
        ("Include (CTest)\n", CTEST),
        ("project(a)\n", "make test"),
    ],
)
def test_tests_of_cmake_go_before_a_target_of_make(
    proposed: Proposer, text: str, verify: str
) -> None:
    policy = proposed({"CMakeLists.txt": text, "Makefile": "test:\n\t./t\n"})
    assert (policy["image"], policy["extends"], policy["verify"]) == ("c", "c", verify)


def test_sources_that_a_build_fetches_are_said(proposed: Proposer) -> None:
    policy = proposed({"CMakeLists.txt": "include(FetchContent)\nFetchContent_Declare(x)\n"})
    assert "fetches sources in a build" in policy["text"]


@pytest.mark.parametrize("file", ["go.mod", "setup.py"])
def test_a_suite_that_is_known_gets_the_time_it_takes(proposed: Proposer, file: str) -> None:
    limits = {"command_timeout": "10m", "widen": ["command_timeout"]}
    assert proposed({file: ""})["limits"] == limits


def test_a_repository_whose_tests_are_not_found_is_told(proposed: Proposer) -> None:
    assert "no command for its tests is found" in proposed({"Makefile": "all:\n"})["text"]


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ('[target.x86_64-pc-windows-msvc]\nrustflags = ["-C", "x"]\n', 0),
        ("[source.crates-io]\nreplace-with = 'a'\n", 1),
        ("[registries.a]\nindex = 'a'\n", 1),
    ],
)
def test_only_a_configuration_of_registries_is_told(
    proposed: Proposer, text: str, times: int
) -> None:
    policy = proposed({"Cargo.toml": "", ".cargo/config.toml": text})
    assert policy["text"].count("may name another registry") == times


def test_system_packages_of_ci_are_a_comment(proposed: Proposer) -> None:
    step = "      - run: |\n          sudo apt-get install -y libyaml-dev ${X} && id\n"
    policy = proposed({"setup.py": "", ".github/workflows/ci.yml": step})
    assert "# as_root: true" in policy["text"]
    assert "--no-install-recommends libyaml-dev" in policy["text"]
    assert "libyaml" not in str(policy["setup"])


@pytest.mark.parametrize(
    ("zone", "env"),
    [
        ("America/New_York", {"TZ": "America/New_York"}),
        ("'UTC'", {"TZ": "UTC"}),
        ("${{ matrix.tz }}", None),
        ("Etc/UTC; id", None),
        ("../../etc/passwd", None),
        ("UTC\n  TZ: Asia/Tokyo", None),
    ],
)
def test_the_time_zone_of_ci_is_that_of_the_tests(
    proposed: Proposer, zone: str, env: dict[str, str] | None
) -> None:
    policy = proposed({"package.json": "{}", ".github/workflows/t.yml": f"env:\n  TZ: {zone}\n"})
    assert policy.get("env") == env


def test_repository_without_manifest_gets_a_policy_too(proposed: Proposer) -> None:
    policy = proposed({"a.txt": ""})
    assert policy["image"] == "python"
    assert "setup" not in policy


def test_headers_of_a_linked_library_are_a_comment(proposed: Proposer) -> None:
    script = "setup(ext_modules=[Extension('a', ['a.c'], libraries=['xml2', 'x; id'])])"
    policy = proposed({"setup.py": script})
    assert "--no-install-recommends libxml2-dev" in policy["text"]
    assert "id" not in str(policy["setup"]["commands"]).split()


@pytest.mark.parametrize("path", ["a\0/b", "a\ud800/b", "../b"])
def test_a_name_that_no_file_has_is_not_there(tmp_path: Path, path: str) -> None:
    files = RepositoryFiles(tmp_path)
    assert path not in files
    assert files.text(path) is None


def test_a_submodule_that_is_not_checked_out_is_told(proposed: Proposer) -> None:
    named = "".join(f'[submodule "{it}"]\n\tpath = deps/{it}\n\turl = ../{it}\n' for it in "abc")
    policy = proposed({".gitmodules": named, "deps/b/.git": "gitdir: ../../.git/modules/b\n"})
    told = " ".join(policy["text"].replace("\n#   ", " ").splitlines())
    assert "submodule update --init): deps/a, deps/c #" in told


def test_lines_of_one_reason_stand_under_it_once(proposed: Proposer) -> None:
    text = proposed({"setup.py": "", "tox.ini": "", "noxfile.py": ""})["text"]
    assert text.count("# says what is installed") == 1


def test_nothing_is_set_up_beside_a_newer_python_that_no_other_recipe_has(
    proposed: Proposer,
) -> None:
    newer = "[project]\nname = 'x'\nrequires-python = '>=3.12'\n"
    policy = proposed({"pyproject.toml": newer, "package.json": PACKAGE, "Makefile": "test:\n"})
    assert policy["image"] == "python3.13"
    assert not any("npm" in it for it in policy["setup"]["commands"])
    told = " ".join(policy["text"].replace("\n#   ", " ").splitlines())
    assert "# Note: package.json is JavaScript's, and its set-up is left out: no recipe" in told
    assert "asks for Python 3.12 or newer" in told
