"""Which of an image's variables its commands get."""

import pytest

from sandbox.container.plan import passed_on


def test_an_activated_environment_reaches_commands() -> None:
    said = ["JAVA_HOME=/opt/java", "VIRTUAL_ENV=/opt/venv", "CONDA_PREFIX=/opt/conda", "GOPATH=/go",
            "EMPTY=", "EQUAL=a=b", "BASH_ENV=/etc/profile.d/conda.sh", "LANG=de_DE"]  # fmt: skip
    assert passed_on(said, written=["."]) == dict(row.split("=", 1) for row in said)


@pytest.mark.parametrize(
    "row",
    [
        "LD_PRELOAD=/x.so", "LD_LIBRARY_PATH=/x", "LD_AUDIT=/x.so", "GIT_EXEC_PATH=/x", "ENV=/x",
        "GIT_CONFIG_COUNT=1", "GLIBC_TUNABLES=x", "PATH=/x", "HOME=/x", "USER=root", "TMPDIR=/x",
        "IFS=x", "BASH_FUNC_ls%%=() { id; }", "PROMPT_COMMAND=id", "1A=x", "A B=x", "=x", "noname",
        "A=\x1b[2J", "A=b\nc", "A=" + "x" * 40_000, "LANG=C.UTF-8", "LC_ALL=C", "Ä=x",
    ],
)  # fmt: skip
def test_what_turns_one_command_into_another_does_not(row: str) -> None:
    assert passed_on([row], written=[]) == {}


@pytest.mark.parametrize(
    "path",
    ["/workspace/env", "/home/agent/.bashrc", "/tmp/env", "/var/tmp/env", "rel", "", "/dev/stdin",
     "/usr/../workspace/x", "/opt/own/env", "/proc/1/environ"],
)  # fmt: skip
def test_a_file_that_the_agent_can_write_is_not_read_by_each_shell(path: str) -> None:
    assert passed_on([f"BASH_ENV={path}"], written=[".", "/opt/own"]) == {}


def test_more_than_a_command_can_take_is_left_out() -> None:
    said = [f"V{number}=" + "x" * 30_000 for number in range(100)]
    assert sum(map(len, passed_on(said, written=[]).values())) < 1 << 17
