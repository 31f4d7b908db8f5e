"""Text for an editor: a stranger's stays in its fence, a model's shows no picture."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from agent.record.outcome import ModelFailed, Refused
from agent.servers.acp.markup import ModelWords, fenced, title, without_pictures
from agent.servers.acp.turns import TurnEnded, TurnFailed, told


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
        f"```\n```{' ' * 2000}x\n```\n![a](https://example.org)\n",
        f"```\n```{' ' * 2000}\n```\n```\n![a](https://example.org)\n",
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


@pytest.mark.parametrize("line", ["$$", "\\[", "\\begin{align}", "a $$ b"])
def test_no_fence_within_mathematics_is_taken_for_one(line: str) -> None:
    text = f"{line}\n```\n![a](https://example.org)"
    assert ModelWords().piece(text) == text.replace("![", "!\\[")


@given(st.lists(LINES, max_size=14))
def test_no_lines_around_a_picture_bring_it_back(lines: list[str]) -> None:
    text = "\n".join([*lines, "![a](https://example.org)"])
    assert pictures(ModelWords().piece(text)) == 0


def test_code_in_a_fence_stays_as_it_is() -> None:
    text = "Look:\n\n```rust\nlet a = vec![1, 2];\n```\n\nand `x`.\n"
    assert ModelWords().piece(text) == text


@pytest.mark.parametrize(
    "text",
    [
        '<img src="https://example.org/?secret">',
        "a <IMG/src=https://example.org>",
        '<p\nstyle="background: url(https://example.org)">',
        "<style>\n@import 'https://example.org';\n\n</style>",
        "<pre>\n\n<svg ><image href='https://example.org'/></svg>",
        "<!-- a\n\n--><video poster=https://example.org>",
        "<?a <img src=https://example.org>",
        "<div>\n<x, style='background: url(https://example.org)'>\n",
        "<a, <img src=https://example.org>",
        "<a, b, hidden>",
        "<a, <pre>>",
        "Done.\n\n<details>\n\nwhat follows",
        "Done. <Template>what follows",
        "<div>\n</p what nobody sees>\n",
        "<div>\n</ what nobody sees>\n",
        "<div>\n</é what nobody sees>\n",
        "Done. <progress>what nobody sees",
        "<math><annotation>what nobody sees",
    ],
)
def test_no_tag_of_html_that_could_load_or_hide_a_thing_stays_one(text: str) -> None:
    whole = without_pictures(text)
    words = ModelWords()
    assert "".join(words.piece(char) for char in text) + words.broken_off() == whole
    kinds = ("html_inline", "html_block")
    tokens = [token for top in MarkdownIt("commonmark").parse(whole) for token in _all(top)]
    html = "".join(token.content for token in tokens if token.type in kinds)
    acts = r"<(?:[a-z][^\s>]*[\s/]|pre|style|details|template|progress|math|!|\?|/(?!\w+>)|/é)"
    assert re.search(acts, html, re.IGNORECASE) is None


def _all(token: Token) -> list[Token]:
    return [token, *(token.children or ())]


def test_text_with_angles_stays_readable() -> None:
    text = "`Vec<u8>` if a < b, 1<2, see <div>, a -> b, x <- y </div>"
    text += " Map<String, List<Int>>, Result<T,E>, a <b, c> d"
    assert without_pictures(text) == text


class Acting(HTMLParser):
    """What a reader of HTML, who knows nothing of Markdown, would load or hide by a tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.hidden: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        acts = any(value is not None or name in {"hidden", "inert"} for name, value in attrs)
        if acts or tag in {"pre", "script", "style", "iframe"}:
            self.found.append(tag)

    def handle_comment(self, data: str) -> None:
        self.hidden.append(data)


PARTS = st.sampled_from(
    [
        *("<", "<", ">", ",", ", ", " ", "a", "B", "1", "img", "img src=x", "style='x'", "x='>'"),
        *("<a, ", "<pre>", "<script>", "hidden", "inert", "[", "]", "?", "!", "<!--", "/", "\\"),
        *(
            "<B, <img ",
            "\n",
            "\t",
            "&lt;",
            "</",
            "</p ",
            "String, Int",
            ".",
            "é",
            "=",
            '"',
            "<img ",
        ),
    ]
)


@given(st.lists(PARTS, max_size=12).map("".join))
@example("<a, <img src=x>")
@example("<1, <img src=x>")
@example("<img alt='<' src=x>")
@example("</ what nobody sees>")
def test_no_tag_acts_for_a_reader_of_html_either(text: str) -> None:
    acting = Acting(without_pictures(text))
    assert (acting.found, acting.hidden) == ([], [])
    assert Acting(title(text.replace("\n", " "))).found == []


def test_what_is_held_for_a_tag_is_shown_however_it_comes() -> None:
    text = "Map<String, Int> and <a, <img src=x> and <B, <C"
    words = ModelWords()
    shown = "".join(words.piece(char) for char in text) + words.broken_off()
    assert (
        shown
        == without_pictures(text)
        == text.replace("<a, <img", "<\\a, <\\img").replace("<B, <C", "<\\B, <\\C")
    )


@pytest.mark.parametrize(
    "messages",
    [
        ["a!", "[a](https://example.org)"],
        ["```\na\n", "```\n![a](https://example.org)"],
        ["``", "`\n![a](https://example.org)"],
        ["```\na", "b\n![a](https://example.org)\n"],
        ["a\n\n", "```\n", "```\n\n![a](https://example.org)\n"],
    ],
)
def test_no_picture_comes_of_messages_that_an_editor_joins_or_parts(messages: list[str]) -> None:
    words = ModelWords()
    shown = [words.piece(message) + words.broken_off() for message in messages]
    assert pictures("".join(shown)) == 0
    assert [pictures(one) for one in shown] == [0] * len(shown)


def test_code_of_a_later_message_stays_as_it_is() -> None:
    words = ModelWords()
    words.piece("Done.")
    words.broken_off()
    assert words.piece("```\nvec![1]\n```\n") == "\n\n```\nvec![1]\n```\n"


@pytest.mark.parametrize(
    "line", ["$ cat <<EOF > x", "$ sort <in.txt >out.txt", "$ wc <a >b", "$ diff <(ls) <(ls -l)"]
)
def test_title_is_the_command_to_the_letter(line: str) -> None:
    assert title(line) == line


def test_title_shows_no_picture_and_keeps_what_a_shell_reads() -> None:
    assert title("$ cat <<EOF; echo ![a](https://example.org)") == (
        "$ cat <<EOF; echo !\\[a](https://example.org)"
    )


@pytest.mark.parametrize(
    "tag",
    [
        "<img src='//a?b'>",
        "<IMG/src=//a?b>",
        '<p title=">" style="background: url(//a)">',
        "<style>",
    ],
)
def test_a_title_has_no_tag_that_could_load_a_thing(tag: str) -> None:
    assert title(f"$ sort <in >out; echo {tag}") == f"$ sort <in >out; echo <\\{tag[1:]}"


def test_words_with_which_a_model_declines_show_no_picture() -> None:
    words = "![a](https://example.org/?secret)"
    declined, failed = told(Refused(message=words)), told(ModelFailed(message=words, cause="x"))
    assert isinstance(declined, TurnEnded)
    assert isinstance(failed, TurnFailed)
    assert pictures(declined.words) == pictures(failed.message) == 0
