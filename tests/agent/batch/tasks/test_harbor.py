"""Harbor task folders: what becomes of them, and what is refused with its reason."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.batch.task import (
    ImageWorkspace,
    Task,
    TaskBudget,
    TaskLimits,
    TaskOrigin,
)
from agent.batch.tasks.reading import read_tasks
from agent.errors import UsageError
from agent.verification import VerifierFiles

FULL = """\
schema_version = "1.4"
source = "example"

[task]
name = "example/hello"
authors = [{name = "A", email = "a@example.org"}]
keywords = ["x"]

[metadata]
anything = {may = ["stand", 1]}

[verifier]
timeout_sec = 120
env = {MODE = "it's"}

[agent]
timeout_sec = 900.0
user = "agent"

[environment]
network_mode = "no-network"
build_timeout_sec = 600.0
cpus = 2
memory_mb = 4096
storage_mb = 10240
gpus = 0
workdir = "/srv/work"
env = {COLOUR = "red"}

[solution]
env = {KEY = "${HOST_KEY}"}
"""


@pytest.fixture
def harbor(tmp_path: Path) -> Path:
    """A whole task folder."""
    made = tmp_path / "hello-world"
    for name, content in {
        "task.toml": FULL,
        "instruction.md": "Make it say hello.\n",
        "environment/Dockerfile": "FROM scratch\n",
        "tests/test.sh": "#!/bin/bash\n",
        "tests/test_it.py": "",
        "solution/solve.sh": "the answer\n",
    }.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(content)
    return made


@pytest.fixture
def refused(harbor: Path) -> Callable[[], list[str]]:
    """Every line of the error about that folder, which is left out of them."""

    def read() -> list[str]:
        with pytest.raises(UsageError) as caught:
            read_tasks(harbor)
        return str(caught.value).replace(f"{harbor}/", "").split("\n")

    return read


def test_folder_is_a_task(harbor: Path) -> None:
    found = read_tasks(harbor)
    assert found.tasks == (
        Task(
            id="hello-world",
            prompt="Make it say hello.\n",
            workspace=ImageWorkspace(path="/srv/work"),
            image=str(harbor / "environment/Dockerfile"),
            verify="export MODE='it'\"'\"'s'; /tests/test.sh",
            verifier=VerifierFiles(
                folder=harbor / "tests", target="/tests", reward=True, time_s=120.0
            ),
            budget=TaskBudget(time_s=900.0),
            limits=TaskLimits(cpus=2, memory_bytes=4 << 30, disk_bytes=10 << 30),
            env={"COLOUR": "red"},
            instance_id="example/hello",
            origin=TaskOrigin(file=str(harbor / "task.toml"), line=1),
        ),
    )
    assert "the answer" not in repr(found)
    assert "\n".join(found.notes) == (
        "Harbor tasks: only what changes in the work folder is in the patch and reaches the "
        "verification; there as elsewhere commands run as a user that is not root\n"
        "tasks that bring a Dockerfile: 1; it is built with the network of the engine, before the "
        "agent begins"
    )


def test_least_task_is_taken_and_its_silence_on_the_network_told(harbor: Path) -> None:
    (harbor / "task.toml").write_text('[environment]\ndocker_image = "example/it:1"\n')
    (harbor / "environment/Dockerfile").unlink()
    found = read_tasks(harbor)
    (task,) = found.tasks
    assert (task.image, task.workspace) == ("example/it:1", ImageWorkspace(path=None))
    assert task.budget == TaskBudget()
    assert task.verifier is not None
    assert task.verifier.time_s == 600
    assert found.notes[1] == (
        "tasks that say nothing of the network, which Harbor takes for public: 1; there is none "
        "here, in the agent's work or in the verification"
    )


def test_tests_that_get_something_from_a_network_are_named(harbor: Path) -> None:
    (harbor / "tests/test.sh").write_text("#!/bin/bash\n# no curl here\npytest\n")
    assert len(read_tasks(harbor).notes) == 2
    (harbor / "tests/test.sh").write_text("#!/bin/bash\ncd x && curl -LsSf x | sh\n")
    assert read_tasks(harbor).notes[1] == (
        "tasks whose tests seem to get something from a network, 1, will fail for that "
        "where the image does not hold it: hello-world"
    )


def test_older_file_is_taken(harbor: Path) -> None:
    (harbor / "task.toml").write_text(
        'version = "1.0"\n[environment]\nmemory = "2G"\nstorage = "512M"\nallow_internet = false\n'
    )
    found = read_tasks(harbor)
    assert found.tasks[0].limits == TaskLimits(memory_bytes=2 << 30, disk_bytes=512 << 20)
    assert len(found.notes) == 2


def test_folder_of_folders_gives_all_by_name(harbor: Path, tmp_path: Path) -> None:
    os.symlink(harbor, tmp_path / "again")
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("")
    found = read_tasks(tmp_path)
    assert [task.id for task in found.tasks] == ["again", "hello-world"]
    assert found.tasks[0].origin.file == str(tmp_path / "again/task.toml")
    assert found.notes[0] == "folders without a task.toml are no tasks: docs"


def test_a_stranger_s_names_make_no_line_of_ours(harbor: Path, tmp_path: Path) -> None:
    (tmp_path / "x\n[1] hello-world: finished").mkdir()
    assert read_tasks(tmp_path).notes[0].endswith(": x⏎[1] hello-world: finished")
    (harbor / "tests/y\nmoonpool: fine").symlink_to("test.sh")
    with pytest.raises(UsageError) as caught:
        read_tasks(tmp_path)
    assert str(caught.value).count("\n") == 0


def test_folder_without_tasks_is_told(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(UsageError) as caught:
        read_tasks(tmp_path)
    assert (
        str(caught.value) == f"{tmp_path} is a folder without a task.toml, and so are those in it"
    )


NO_NETWORK = (
    "asks for a network, and neither the agent nor the verification has one here: what they need "
    'has to be in the image; then write network_mode = "no-network"'
)
FRESH = "verification runs here in a fresh container of the same image, with the patch alone"
ROOT = "asks for root, and commands run here as a user of the sandbox's own: leave it out"
GPUS = "asks for GPUs, which no sandbox is given"
KNOWN = (
    "network_mode, allowed_hosts, build_timeout_sec, docker_image, os, cpus, memory_mb, storage_mb"
)

COMPLAINTS = {
    '[environment]\n\nnetwrok_mode = "no-network"\n': (
        "task.toml:3: environment.netwrok_mode: unknown key; did you mean `network_mode`?"
    ),
    "[agnet]\ntimeout_sec = 3\n": "task.toml:1: agnet: unknown key; did you mean `agent`?",
    '[task]\nname = "a/b"\nauthors = [\n  {name = "x"},\n  {nmae = "y", name = "y"},\n]\n': (
        "task.toml:3: task.authors[1].nmae: unknown key; did you mean `name`?"
    ),
    "[verifier]\ntimeout_sec = 0\n": (
        "task.toml:2: verifier.timeout_sec: 0 is out of range: more than 0.0 is expected"
    ),
    '[agent]\ntimeout_sec = "9"\n': ("task.toml:2: agent.timeout_sec: expected a number, got '9'"),
    '[environment]\nnetwork_mode = "none"\n': (
        "task.toml:2: environment.network_mode: 'none' is not one of 'no-network', 'public' or "
        "'allowlist'"
    ),
    '[environment]\nnetwork_mode = "public"\n': (
        f"task.toml:2: environment.network_mode: {NO_NETWORK}"
    ),
    '[agent]\nnetwork_mode = "allowlist"\nallowed_hosts = ["example.org"]\n': (
        f"task.toml:2: agent.network_mode: {NO_NETWORK}"
    ),
    '[environment]\nnetwork_mode = "no-network"\n[verifier]\nnetwork_mode = "public"\n': (
        f"task.toml:4: verifier.network_mode: {NO_NETWORK}"
    ),
    "[environment]\nallow_internet = true\n": (
        f"task.toml:2: environment.allow_internet: {NO_NETWORK}"
    ),
    '[environment]\nnetwork_mode = "no-network"\nallowed_hosts = []\n': (
        'task.toml:3: environment.allowed_hosts: is for network_mode = "allowlist" only: leave it '
        "out"
    ),
    "[environment]\ngpus = 1\n": f"task.toml:2: environment.gpus: {GPUS}",
    '[environment]\ngpu_types = ["H100"]\n': f"task.toml:2: environment.gpu_types: {GPUS}",
    '[environment.tpu]\ntype = "v6e"\ntopology = "2x4"\n': (
        "task.toml:1: environment.tpu: asks for a TPU, which no sandbox is given"
    ),
    '[environment]\nos = "Windows"\n': "task.toml:2: environment.os: asks for Windows, not Linux",
    '[[environment.mcp_servers]]\nname = "x"\n': (
        "task.toml:1: environment.mcp_servers: the agent has no MCP servers here: it works with "
        "the tools of its policy"
    ),
    '[environment]\nskills_dir = "/skills"\n': (
        "task.toml:2: environment.skills_dir: the agent reads no skills from the environment, "
        "which is untrusted here"
    ),
    '[environment.healthcheck]\ncommand = "true"\n': (
        "task.toml:1: environment.healthcheck: nothing of the image is started here that could be "
        "waited for: see a policy's services"
    ),
    '[[steps]]\nname = "one"\n': (
        "task.toml:1: steps: is of several steps, and a run here is one: make a task of each"
    ),
    'artifacts = ["/app/out"]\n': (
        "task.toml:1: artifacts: nothing but the patch comes out of a sandbox"
    ),
    '[verifier]\nenvironment_mode = "separate"\n': (
        f"task.toml:2: verifier.environment_mode: {FRESH}"
    ),
    "[verifier.environment]\ncpus = 1\n": f"task.toml:1: verifier.environment: {FRESH}",
    '[[verifier.collect]]\ncommand = "x"\n': f"task.toml:1: verifier.collect: {FRESH}",
    '[agent]\nuser = "root"\n': f"task.toml:2: agent.user: {ROOT}",
    "[verifier]\nuser = 0\n": f"task.toml:2: verifier.user: {ROOT}",
    '[environment]\nworkdir = "/usr/bin"\n': (
        "task.toml:2: environment.workdir: the workspace image:/usr/bin is the system's own: copy "
        "the tree to a folder of its own, as /testbed"
    ),
    '[environment]\ndocker_image = "-x"\n': (
        "task.toml:2: environment.docker_image: '-x' can't be used: expected a recipe's plain name "
        "(`python`), a reference that the engine knows (`debian:bookworm-slim`, `repo/name:tag`, "
        "`sha256:…`), or the path of a Dockerfile that begins with `./`, `../` or `/`"
    ),
    '[environment]\ndocker_image = "/srv/Dockerfile"\n': (
        "task.toml:2: environment.docker_image: '/srv/Dockerfile' can't be used: expected an "
        "image's name, and this is a path"
    ),
    '[environment]\nmemory_mb = 1024\nmemory = "2G"\n': (
        "task.toml:3: environment.memory: says another size than memory_mb: leave it out"
    ),
    '[environment]\nmemory = "lots"\n': (
        "task.toml:2: environment.memory: 'lots' can't be used: expected a size such as `2G`"
    ),
    '[environment]\nenv = {TOKEN = "${TOKEN:-x}"}\n': (
        "task.toml:2: environment.env.TOKEN: '${TOKEN:-x}' can't be used: a value written out is "
        "expected: variables of the host never enter a sandbox"
    ),
    '[verifier.env]\nJUDGE_API_KEY = "x"\n': (
        "task.toml:2: verifier.env.JUDGE_API_KEY: 'x' can't be set: API keys never "
        "enter the container"
    ),
    '[environment.env]\nLD_PRELOAD = "x"\n': (
        "task.toml:2: environment.env.LD_PRELOAD: 'x' can't be set: it decides "
        "which file a program's name leads to, or runs text before each command, so that what was "
        "checked would not be what runs"
    ),
    f"gpus = {'9' * 4301}": (
        "task.toml:1: not TOML: Exceeds the limit (4300 digits) for integer string conversion: "
        "value has 4301 digits; use sys.set_int_max_str_digits() to increase the limit"
    ),
    "a = 1\na = 2\n": "task.toml:2: not TOML: Cannot overwrite a value",
    "[a\n": "task.toml:1: not TOML: Expected ']' at the end of a table declaration",
    'x = """\n\n': "task.toml:3: not TOML: Unterminated string",
}


@pytest.mark.parametrize("content", COMPLAINTS)
def test_each_complaint_names_file_line_and_key(
    refused: Callable[[], list[str]], harbor: Path, content: str
) -> None:
    (harbor / "task.toml").write_text(content)
    assert refused() == [COMPLAINTS[content]]


def test_environment_without_a_network_that_no_phase_uses_is_taken(harbor: Path) -> None:
    (harbor / "task.toml").write_text(
        '[environment]\nnetwork_mode = "public"\n[agent]\nnetwork_mode = "no-network"\n'
        '[verifier]\nnetwork_mode = "no-network"\n'
    )
    assert len(read_tasks(harbor).notes) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("instruction.md", "instruction.md: is missing: a Harbor task has one"),
        ("tests/test.sh", "tests/test.sh: is missing: a Harbor task has one"),
        ("environment/Dockerfile", "environment/Dockerfile: is missing: a Harbor task has one"),
    ],
)
def test_missing_file_is_named(
    refused: Callable[[], list[str]], harbor: Path, name: str, message: str
) -> None:
    (harbor / name).unlink()
    assert refused() == [message]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "environment/docker-compose.yaml",
            "asks for several containers, and a sandbox is one: see a policy's services",
        ),
        ("trajectory.json", "a conversation begun elsewhere is not taken up here"),
    ],
)
def test_file_that_asks_for_what_is_not_given_is_refused(
    refused: Callable[[], list[str]], harbor: Path, name: str, message: str
) -> None:
    (harbor / name).write_text("")
    assert refused() == [f"{name}: {message}"]


def test_link_out_of_the_folder_is_refused(
    refused: Callable[[], list[str]], harbor: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    for name in ("instruction.md", "tests/test_it.py"):
        (harbor / name).unlink()
        (harbor / name).symlink_to(tmp_path / "secret")
    assert refused() == [
        "instruction.md: is not a file of the task's folder",
        "tests/test_it.py: is neither a file nor a folder: tests are copied as they are",
    ]


def test_link_to_no_possible_name_is_told(
    refused: Callable[[], list[str]], harbor: Path, tmp_path: Path
) -> None:
    for name in ("trajectory.json", "environment/compose.yaml", "tests/test_it.py"):
        (harbor / name).unlink(missing_ok=True)
        (harbor / name).symlink_to("x" * 400)
    (tmp_path / "task").symlink_to("x" * 400)
    assert [line.partition(":")[0] for line in refused()] == [
        "trajectory.json",
        "environment/compose.yaml",
        "tests/test_it.py",
    ]
    with pytest.raises(UsageError, match=r"tests/test_it\.py"):
        read_tasks(tmp_path)


def test_circle_of_links_is_told(refused: Callable[[], list[str]], harbor: Path) -> None:
    (harbor / "instruction.md").unlink()
    (harbor / "instruction.md").symlink_to("instruction.md")
    assert refused() == ["instruction.md: can't be read: its links lead round in a circle"]


def test_instruction_that_is_empty_or_no_text_is_told(
    refused: Callable[[], list[str]], harbor: Path
) -> None:
    (harbor / "instruction.md").write_text(" \n")
    assert refused() == ["instruction.md: is empty: it says what the agent is to do"]
    (harbor / "instruction.md").write_bytes(b"a\n\xff")
    assert refused() == ["instruction.md:2: is not UTF-8 text"]
