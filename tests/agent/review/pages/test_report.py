"""The report: one file that loads nothing, runs nothing, and shows hostile text as it is."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from agent.review.pages.report import render
from fakes.box import SEAL, TmpBox
from fakes.model import ToldModel, call, say
from fakes.runs import FakeRun
from policies.policy import Policy

HOSTILE = '<script>alert(1)</script><img src=x onerror="x">\x1b[2J\u202e'


class Tags(HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


@pytest.fixture
def fake(tmp_path: Path, policy: Policy) -> FakeRun:
    return FakeRun(home=tmp_path, policy=policy, files={"a.py": b"one\n"}, verify="cat *")


def page_of(fake: FakeRun, *steps: object, task: str = "mend it") -> str:
    summary = fake.go(ToldModel(*steps), task)  # type: ignore[arg-type]
    return render(summary, fake.run.journal.log)


@pytest.fixture
def hostile_page(fake: FakeRun) -> str:
    return page_of(
        fake,
        call("write_file", path=f"evil{HOSTILE}.py".replace("/", "_"), content=HOSTILE + "\n"),
        call("bash", command=f"echo '{HOSTILE}'"),
        call("bash", command=f"curl '{HOSTILE}'"),
        say(HOSTILE),
        task=HOSTILE,
    )


def test_hostile_text_makes_no_tag_and_no_attribute(hostile_page: str) -> None:
    tags = Tags(hostile_page).seen
    assert {tag for tag, _ in tags} & {
        "script",
        "img",
        "iframe",
        "link",
        "object",
        "form",
    } == set()
    assert not [attributes for _, attributes in tags if any(k.startswith("on") for k in attributes)]
    assert hostile_page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4


def test_hostile_characters_are_shown_and_not_obeyed(hostile_page: str) -> None:
    assert "\x1b" not in hostile_page
    assert "\u202e" not in hostile_page
    assert "\\u202e" in hostile_page


def test_nothing_is_loaded_from_anywhere(hostile_page: str) -> None:
    for tag, attributes in Tags(hostile_page).seen:
        assert not {"src", "srcset", "data", "action"} & set(attributes), tag
        # A link leads to a part of this very page.
        assert re.fullmatch(r"#part-\d+", attributes.get("href") or "#part-1"), tag
    assert not re.search(r"url\(|@import", hostile_page)
    policy = next(
        attributes["content"]
        for tag, attributes in Tags(hostile_page).seen
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_it_tells_task_outcome_diff_calls_denials_and_verification(fake: FakeRun) -> None:
    page = page_of(
        fake,
        call("edit_file", path="a.py", old_string="one", new_string="two"),
        call("bash", command="curl example.org"),
        say("I changed one to two."),
        task="count on",
    )
    for words in (
        "count on",
        "finished",
        "<tr class=del><td>1<td><td>one\n",
        "<tr class=add><td><td>1<td>two\n",
        "edit a.py",
        "$ curl example.org",
        "denied",
        "I changed one to two.",
        "verified: cat * passes",
        "patch proved",
    ):
        assert words in page, words


def test_without_the_kernel_the_first_line_says_so(fake: FakeRun) -> None:
    fake.box = TmpBox(files=fake.files, seal=replace(SEAL, kernel_enforced=False))
    page = page_of(fake, say("done"))
    body = page.split("<main>")[1].lstrip()
    assert body.startswith('<p class="alarm">The kernel did not enforce the policy')


def test_a_refused_export_stands_first_with_its_reason(fake: FakeRun) -> None:
    fake.policy = replace(fake.policy, paths=replace(fake.policy.paths, protect=("a.py",)))
    page = page_of(fake, call("write_file", path="a.py", content="x", overwrite=True), say("done"))
    assert page.index("protected-path") < page.index("What changed")
    assert "export refused" in page


def test_findings_are_grouped_by_file_the_riskiest_on_top_with_a_link_to_its_diff(
    fake: FakeRun,
) -> None:
    page = page_of(
        fake,
        call("write_file", path="AGENTS.md", content="Obey.\n"),
        call("write_file", path="z.py", content="a = 1\nkey = 'AKIA" + "Q" * 16 + "'\n"),
        call("bash", command="ln -s a.py link; ln -s z.py other"),
        say("done"),
    )
    risk = page.split("<h2>Risk")[1].split("<h2>")[0]
    assert risk.index(">z.py<") < risk.index(">AGENTS.md<") < risk.index(">link<")
    number = page.split('">z.py</a>')[0].rpartition("#part-")[2]
    card = page.split(f'id="part-{number}"')[1].split("</details>")[0]
    assert '<span class="path">z.py</span>' in card
    assert "line 2" in risk


def test_a_secret_is_shown_neither_in_the_findings_nor_in_the_diff(fake: FakeRun) -> None:
    secret = "AKIA" + "Q" * 16
    # Put together in the command: the timeline shows what was called.
    page = page_of(
        fake,
        call("bash", command="printf 'k = AKIA%s\\n' $(printf 'Q%.0s' $(seq 16)) > k"),
        say("x"),
    )
    assert "AWS Access Key" in page
    assert secret not in page
    assert "<td>k = ••••••••" in page


def test_a_secret_is_not_shown_by_half_where_a_long_result_is_cut(fake: FakeRun) -> None:
    secret = "AKIA" + "Q" * 16
    # Of 4,000 characters at most, the first 2,000 are shown.
    script = f"printf 'k = {secret}\\n' > k; printf '%1989s ' x; cat k; printf '%3000s' y"
    page = page_of(fake, call("bash", command=script), say("x"))
    (given,) = (it for it in page.split("<pre")[1:] if "characters are in events.jsonl" in it)
    assert "AKIA" not in given


def test_of_a_private_key_its_body_is_not_shown_either(fake: FakeRun) -> None:
    body = "MIIEowIBAAKCAQEA" + "x9" * 20
    ends = "PRIVATE KEY-----"
    page = page_of(
        fake,
        call(
            "write_file", path="k", content=f"-----BEGIN RSA {ends}\n{body}\n{body}\nq=1; run()\n"
        ),
        call("write_file", path="j", content=f'"-----BEGIN {ends}\\n{body}\\n-----END {ends}"\n'),
        call("bash", command="cat k"),
        say("x"),
    )
    assert "Private Key" in page
    assert body not in page
    # Nor does the first line of a key hide what is none of its lines.
    assert "<td>q=1; run()" in page


def test_a_link_in_place_of_a_file_does_not_shift_the_names_of_the_diff(fake: FakeRun) -> None:
    page = page_of(
        fake, call("bash", command="rm a.py; ln -s b.py a.py; echo x > b.py"), say("done")
    )
    (of_a,) = re.findall(r'<details class="card file".*?>a\.py<.*?</details>', page, re.DOTALL)
    assert "symbolic link" in of_a
    assert "<tr class=del><td>1<td><td>one\n" in of_a
    assert "<tr class=add><td><td>1<td>b.py\n" in of_a
    assert page.count('<span class="path">b.py</span>') == 1


def test_a_run_without_a_patch_still_has_a_report(fake: FakeRun) -> None:
    def fail() -> None:
        raise KeyError("no box")

    fake.before_open = fail
    page = page_of(fake)
    assert "no patch" in page
    assert "crashed" in page


def test_a_very_long_diff_is_cut_and_says_so(fake: FakeRun) -> None:
    page = page_of(fake, call("write_file", path="big", content="line\n" * 30_000), say("done"))
    assert "cut after 20000 lines" in page
    assert len(page) < 3_000_000
