"""What the operator's command line of `moonpool mcp` may say."""

from pathlib import Path

import pytest

from command_line.running import Shell


@pytest.mark.slow
def test_without_a_root_it_says_what_to_name(moonpool: Shell) -> None:
    done = moonpool("mcp")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "name the folders that clients may open, as in moonpool mcp --root" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--root", "none"), "no workspace none"),
        (("--root", "file"), "is not a directory"),
        (("--root", "image:x"), "no folder by an absolute path"),
        (("--root", ".", "-p", "none"), "none"),
        (("--root", ".", "--ceiling", "none.yaml"), "none.yaml"),
        (("--root", ".", "--idle", "soon"), "'--idle': expected a duration"),
        (("--root", ".", "--sandboxes", "0"), "0 is less than 1"),
        (("--root", ".", "-p", "default", "-p", "own.yaml"), "both called default: rename one"),
    ],
)
def test_what_can_t_be_is_said_before_a_client_is_served(
    moonpool: Shell, arguments: tuple[str, ...], why: str
) -> None:
    (moonpool.directory / "file").write_text("")
    (moonpool.directory / "own.yaml").write_text("version: 1\nname: default\nextends: default\n")
    done = moonpool("mcp", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert why in done.stderr


def test_the_end_of_input_ends_it(moonpool: Shell) -> None:
    done = moonpool("mcp", "--root", ".")
    assert (done.returncode, done.stdout) == (0, "")


def test_a_policy_of_the_configuration_counts_where_none_is_named(
    moonpool: Shell, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("version: 1\npolicy: none-such\n")
    done = moonpool("mcp", "--root", ".", env={"MOONPOOL_CONFIG": str(config)})
    assert done.returncode == 2
    assert "none-such" in done.stderr
