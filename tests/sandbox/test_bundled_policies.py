"""The bundled policies for running tests do that in a real sandbox, and nothing beside it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from images.build import ensure
from policies.decision import Allow, Call, decide
from policies.loading import bundled_names, load
from sandbox.engine.docker import Engine
from sandbox.sandbox import Sandbox

FORBIDDEN = "/usr/bin/perl -e 'print 42*42'; git --version; curl --version; cp /usr/bin/perl p"

NODE_PROJECT = {
    "package.json": '{"name": "p", "scripts": {"test": "runner --quiet", "prepare": "touch no"}}',
    "node_modules/runner/cli.js": (
        "#!/usr/bin/env node\nconsole.log('ran', require('../../add')(40, 2))\n"
    ),
    "add.js": "module.exports = (a, b) => a + b\n",
    "test/add.test.js": """
const test = require('node:test'), assert = require('node:assert'), child = require('child_process')
const add = require('../add')
test('adds', () => assert.strictEqual(add(40, 2), 42))
test('is held', () => {
  for (const name of ['/usr/bin/perl', '/usr/bin/python3', '/usr/bin/git', '/usr/bin/cat'])
    assert.strictEqual(child.spawnSync(name, ['--version']).error.code, 'EACCES')
  assert.throws(() => require('fs').readFileSync('/usr/bin/perl'), /EACCES/)
  assert.throws(() => require('fs').writeFileSync('/etc/x', ''), /EACCES|EROFS/)
})
""",
}
PYTHON_PROJECT = {
    "add.py": "def add(a, b):\n    return a + b\n",
    "test_add.py": """
import subprocess, sys, unittest
from add import add

class Adds(unittest.TestCase):
    def test_adds(self):
        self.assertEqual(add(40, 2), 42)

    def test_starts_itself(self):
        said = subprocess.run([sys.executable, "-c", "print(6*7)"], capture_output=True).stdout
        self.assertEqual(said, b"42\\n")

    def test_is_held(self):
        for name in ("/usr/bin/perl", "/usr/bin/git", "/usr/bin/gcc", "/usr/bin/cat"):
            with self.assertRaises(PermissionError):
                subprocess.run([name, "--version"])
            with self.assertRaises(PermissionError):
                open(name, "rb")
        with self.assertRaises(OSError):
            open("/etc/x", "w")
""",
}

MADE = ("python", "node", "c")
"""Images that the tests build. The others are large, and are tried by hand."""

OpenProject = Callable[..., Sandbox]


@pytest.fixture
def project(engine: Engine, workspace: Path) -> Iterator[OpenProject]:
    """Opens a sandbox on a project, under a bundled policy and in its image."""
    opened: list[Sandbox] = []

    def opener(policy: str, files: dict[str, str]) -> Sandbox:
        for name, text in files.items():
            (workspace / name).parent.mkdir(parents=True, exist_ok=True)
            (workspace / name).write_text(text)
        loaded = load(policy)
        image = ensure(engine, loaded.image, on_progress=lambda _: None)
        opened.append(Sandbox.open(workspace=workspace, policy=loaded, image=image, engine=engine))
        return opened[-1]

    yield opener
    for box in opened:
        box.close()


def run_allowed(box: Sandbox, policy: str, command: str) -> tuple[int, str]:
    """As an agent does it: what the policy does not allow is not tried."""
    decision = decide(load(policy), Call(tool="bash", arguments={"command": command}))
    assert isinstance(decision, Allow), decision
    result = box.run(command)
    return result.exit_code, (result.stdout + result.stderr).decode()


def test_a_python_projects_tests_run_and_are_held(project: OpenProject) -> None:
    box = project("python-tests", PYTHON_PROJECT)
    for command in ("pytest -q", "python3 -m pytest -q", "python -m unittest", "py.test | tail -1"):
        code, said = run_allowed(box, "python-tests", command)
        assert code == 0, said
        assert "3 passed" in said or "Ran 3 tests" in said


def test_a_python_test_that_fails_says_so(project: OpenProject) -> None:
    files = {**PYTHON_PROJECT, "add.py": "def add(a, b):\n    return a - b\n"}
    code, said = run_allowed(project("python-tests", files), "python-tests", "pytest -q")
    assert code == 1
    assert "1 failed, 2 passed" in said


@pytest.fixture
def node_project(project: OpenProject, workspace: Path) -> Sandbox:
    runner = workspace / "node_modules/.bin/runner"
    runner.parent.mkdir(parents=True)
    runner.symlink_to("../runner/cli.js")
    (workspace / "node_modules/runner").mkdir()
    (workspace / "node_modules/runner/cli.js").touch(mode=0o755)
    return project("node-tests", NODE_PROJECT)


def test_a_node_projects_tests_run_and_are_held(node_project: Sandbox) -> None:
    code, said = run_allowed(node_project, "node-tests", "node --test")
    assert code == 0, said
    assert "pass 1\n" in said or "pass 2\n" in said
    assert "fail 0" in said


def test_npm_runs_a_projects_own_runner_without_a_network(node_project: Sandbox) -> None:
    code, said = run_allowed(node_project, "node-tests", "npm test")
    assert code == 0, said
    assert "ran 42" in said


def test_a_node_test_that_fails_says_so(node_project: Sandbox) -> None:
    node_project.write_file("add.js", b"module.exports = (a, b) => a - b\n")
    assert run_allowed(node_project, "node-tests", "node --test")[0] == 1


ADDON = {
    "package.json": '{"name": "p", "scripts": {"test": "node test.js"}}',
    "test.js": "if (require('./build/Release/answer.node').answer() !== 42) process.exit(3)\n",
    "binding.gyp": "{'targets': [{'target_name': 'answer', 'sources': ['answer.cc']}]}\n",
    "answer.cc": """
#include <node_api.h>
static napi_value answer(napi_env env, napi_callback_info) {
    napi_value number;
    napi_create_int32(env, 42, &number);
    return number;
}
NAPI_MODULE_INIT() {
    napi_value function;
    napi_create_function(env, "answer", 6, answer, nullptr, &function);
    napi_set_named_property(env, exports, "answer", function);
    return exports;
}
""",
}


@pytest.mark.slow
def test_a_native_addon_compiles_without_a_network(project: OpenProject) -> None:
    code, said = run_allowed(project("node", ADDON), "node", "npm rebuild && npm test")
    assert code == 0, said


@pytest.mark.parametrize(
    ("policy", "files"), [("python-tests", PYTHON_PROJECT), ("node-tests", NODE_PROJECT)]
)
def test_no_other_program_runs_even_past_the_check(
    project: OpenProject, policy: str, files: dict[str, str]
) -> None:
    result = project(policy, files).run(FORBIDDEN)
    assert result.stdout == b""
    assert result.stderr.count(b"Permission denied") >= 3


@pytest.mark.slow
@pytest.mark.parametrize("policy", [n for n in bundled_names() if load(n).image in MADE])
def test_a_bundled_policy_and_its_image_agree(project: OpenProject, policy: str) -> None:
    """What it lists is there, and nothing has to be told apart from what it does not list."""
    seal = project(policy, {}).seal
    assert seal.missing == ()
    assert [note for note in seal.notes if "held apart" in note] == []
