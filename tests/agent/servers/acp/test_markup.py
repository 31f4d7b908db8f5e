"""Text for an editor: a stranger's stays in its fence, a model's shows no picture."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from agent.servers.acp.markup import ModelWords, fenced


@pytest.mark.parametrize("ticks", [0, 1, 3, 7])
def test_nothing_gets_out_of_a_fence(ticks: int) -> None:
    inside = f"a\n{'`' * ticks}\n# no heading\n"
    made = fenced(inside)
    fence = made.splitlines()[0].removesuffix("text")
    assert made.endswith(f"\n{fence}")
    assert len(fence) > max(ticks, 2)


def test_long_text_is_cut_in_its_middle_and_says_so() -> None:
    made = fenced("a" * 50 + "b" * 50, limit=20)
    assert "aaaaaaaaaa\n[… 80 characters are not shown …]\nbbbbbbbbbb" in made


def pictures(text: str) -> int:
    """How many a reader of CommonMark would be shown."""
    tokens = MarkdownIt("commonmark").parse(text)
    return sum(child.type == "image" for token in tokens for child in token.children or ())


@pytest.mark.parametrize(
    "text",
    [
        "![a](https://example.org/?secret)",
        "![a][b]\n\n[b]: https://example.org",
        "[b]: https://example.org\n\n![b]",
        "- a\n\n  ```\n![a](https://example.org)\n",
        "> ```\n![a](https://example.org)\n",
        "<div>\n```\n\n![a](https://example.org)\n",
        "<!--\n```\n-->\n![a](https://example.org)\n",
        "``` a`b\n![a](https://example.org)\n",
        "```\n```\n![a](https://example.org)\n",
        "````\n```\n````\n![a](https://example.org)\n",
        "~~~\n```\n~~~\n![a](https://example.org)\n",
        "```\n   ```  \n![a](https://example.org)\n",
        "    ```\n![a](https://example.org)\n",
    ],
)
def test_no_words_of_a_model_show_a_picture(text: str) -> None:
    assert pictures(text) == 1
    assert pictures(ModelWords().piece(text)) == 0
    words = ModelWords()
    assert pictures("".join(words.piece(char) for char in text)) == 0


LINES = st.sampled_from(
    [
        *("```", "````", "~~~", "~~~~", "   ```", "    ```", "``` py", "``` a`b", "```x"),
        *("- ```", "> ```", "> a", "- a", "  a", "<div>", "</div>", "<!--", "-->", "<pre>"),
        *("", "", "a", "# a", "1. a", "   ~~~", "| a |", "|---|", "---", "\t```"),
        *("![a](https://example.org)", "x ![a](https://example.org)", "![a]", "vec![1]"),
    ]
)


@given(st.lists(LINES, max_size=14))
def test_no_lines_around_a_picture_bring_it_back(lines: list[str]) -> None:
    text = "\n".join([*lines, "![a](https://example.org)"])
    assert pictures(ModelWords().piece(text)) == 0


def test_code_in_a_fence_stays_as_it_is() -> None:
    text = "Look:\n\n```rust\nlet a = vec![1, 2];\n```\n\nand `x`.\n"
    assert ModelWords().piece(text) == text
