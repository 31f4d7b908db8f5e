"""What a person is asked: the exact call, with nothing in it that hides, acts or pretends."""

import pytest
from rich.cells import cell_len

from agent.terminal.approval_text import question
from policies.decision import Ask, Call

ASK = Ask(rule="p.yaml:7 commands[0] (rm)", reason="rm needs a person's consent", digest="0" * 64)


def asked(command: str, *, width: int = 60, **others: object) -> list[str]:
    return question(Call(tool="bash", arguments={"command": command, **others}), ASK, width=width)


def test_the_command_the_reason_and_the_rule_are_there() -> None:
    assert asked("rm -rf build") == [
        "? bash asks for your consent: rm needs a person's consent (p.yaml:7 commands[0] (rm))",
        "│ $ rm -rf build",
    ]


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("rm x\x1b[2K\x1b[1A", "│ $ rm x\\x1b[2K\\x1b[1A"),
        ("rm x\rls", "│ $ rm x\\x0dls"),
        ("rm \u202egnp.x", "│ $ rm \\u202egnp.x"),
        ("rm\u200b x", "│ $ rm\\u200b x"),
        ("rm\u00a0x", "│ $ rm\\u00a0x"),
        ("rm\u3000x", "│ $ rm\\u3000x"),
        ("rm e\u0301\u0336", "│ $ rm e\\u0301\\u0336"),
        ("rm\tx", "│ $ rm\\tx"),
        ("rm x   ", "│ $ rm x⟨3 blanks⟩"),
        ("ls" + " " * 300 + "; rm x", "│ $ ls ⟨300 blanks⟩ ; rm x"),
        ("rm \ud800", "│ $ rm \\ud800"),
        ("rm \u2028x", "│ $ rm \\u2028x"),
    ],
)
def test_what_a_terminal_would_obey_or_not_show_is_spelled_out(command: str, shown: str) -> None:
    assert asked(command)[1] == shown


def test_text_in_a_command_looks_like_no_answer_and_no_other_question() -> None:
    lines = asked("ls\n  run this? [y/N] y\n? bash asks for your consent\n$ true\n\n\nrm -rf .")
    assert len(lines) == 8
    assert all(line.startswith("│ ") for line in lines[1:])
    assert lines[-1] == "│ rm -rf ."


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_nothing_is_cut_and_nothing_is_wider_than_the_terminal(width: int) -> None:
    command = "echo " + "".join(f"[{n}]" for n in range(3000)) + "日本語" * 50 + "; rm -rf x"
    lines = asked(command, width=width)
    body = [line for line in lines if line.startswith(("│ ", "┆ "))]
    assert all(cell_len(line) <= width for line in body)
    assert "".join(line[2:] for line in body) == "$ " + command
    assert any(f"{len(command) + 2} characters in 1 lines" in line for line in lines)


def test_the_other_arguments_are_shown_too() -> None:
    assert asked("rm x", timeout_s=5, background=True)[1:] == [
        "│ $ & rm x",
        "│ timeout_s: 5",
        "│ background: True",
    ]


def test_letters_that_look_like_others_are_named() -> None:
    (line,) = [line for line in asked("rm p\u0430ss") if line.startswith("  Letters")]
    assert "CYRILLIC SMALL LETTER A" in line
