"""What is computed of a file's stored form is what git stores."""

import os

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from generators.file_trees import user_git
from sandbox.git.attributes import Attributes, AttributesUnknown, Conversion, NotComputed
from sandbox.git.manifest import blob_id

_state = st.sampled_from(
    [
        *(
            "text",
            "-text",
            "!text",
            "text=auto",
            "eol=crlf",
            "eol=lf",
            "crlf",
            "-crlf",
            "crlf=input",
        ),
        *("ident", "-ident", "binary", "odd", "-odd", "diff=x", "9=a", "-", "text=odd"),
        *("working-tree-encoding=UTF-16LE-BOM", "working-tree-encoding=utf-16"),
        *("working-tree-encoding=UTF-16BE", "working-tree-encoding=ISO-8859-15"),
    ]
)
_states = st.lists(_state, max_size=3).map(" ".join)
_pattern = st.sampled_from(
    ["*", "*.a", "f.a", "/f.a", "d/", "d/*", "**/f.a", "d/f.a", "!f.a", "#x", '"f.a"', '"\\146.a"']
)
_line = st.builds("{} {}".format, st.one_of(_pattern, st.just("[attr]odd")), _states)
_lines = st.lists(_line, max_size=4).map(lambda lines: "\n".join(lines).encode())
_content = st.one_of(
    st.lists(
        st.sampled_from(
            [
                b"a",
                b"\r\n",
                b"\n",
                b"\r",
                b"$Id$",
                b"$Id: x $",
                b"$Id: \n$",
                b"\0",
                b"\x01",
                b"\x1a",
                b"a" * 200,
                b"\xe9",
            ]
        ),
        max_size=6,
    ).map(b"".join),
    st.text(st.sampled_from("aé\r\n\U0001f600$Id:"), max_size=8).map(
        lambda text: text.encode("utf-16")
    ),
)


@settings(max_examples=80, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([b".gitattributes", b"d/.gitattributes", b".git/info/attributes"]), _lines
    ),
    st.sampled_from([b"f.a", b"d/f.a"]),
    st.sampled_from([b"", b"true", b"input", b"false"]),
    _content,
)
def test_git_stores_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    files: dict[bytes, bytes],
    path: bytes,
    autocrlf: bytes,
    content: bytes,
) -> None:
    try:
        ours = Conversion.by(Attributes(files).of(path), autocrlf).stored(content)
    except NotComputed:
        reject()
    checkout = tmp_path_factory.mktemp("checkout")
    user_git(checkout, "init", "-q", "--template=")
    (checkout / ".git/info").mkdir()
    (checkout / "d").mkdir()
    for name, data in {**files, path: content}.items():
        (checkout / os.fsdecode(name)).write_bytes(data)
    settings_ = (
        ("-c", f"core.autocrlf={autocrlf.decode()}", "-c", "core.safecrlf=false")
        if autocrlf
        else ()
    )
    user_git(checkout, *settings_, "add", "-f", os.fsdecode(path))
    row = user_git(checkout, "ls-files", "-s", os.fsdecode(path))
    assert row.split()[1].decode() == blob_id(ours)


@pytest.mark.parametrize(
    ("attributes", "content"),
    [
        (b"* filter=lfs", b"a"),
        (b"* working-tree-encoding=rot13", b"a"),
        (b"* working-tree-encoding=zlib_codec", b"a"),
        (b"* working-tree-encoding=UTF-16", b"a\0"),
        (b"* working-tree-encoding=UTF-16LE", b"\xff\xfea\0"),
        (b"* working-tree-encoding=UTF-16", b"\xff\xfea"),
        (b"* working-tree-encoding=../../x", b"a"),
    ],
)
def test_what_is_not_known_is_not_guessed(attributes: bytes, content: bytes) -> None:
    conversion = Conversion.by(Attributes({b".gitattributes": attributes}).of(b"f"))
    with pytest.raises(NotComputed):
        conversion.stored(content)


class TestHostileAttributes:
    def test_matching_is_bounded(self) -> None:
        rules = Attributes({b".gitattributes": (b"*a*a*a*a*b text\n") * 5000}, work_limit=1_000_000)
        with pytest.raises(AttributesUnknown):
            list(map(rules.of, [b"a" * 200 + b"%d" % number for number in range(1000)]))

    def test_a_macro_in_a_circle_ends(self) -> None:
        rules = Attributes({b".gitattributes": b"[attr]a b\n[attr]b a text\n* a\n"})
        assert rules.of(b"f")[b"text"] is True

    @given(st.binary(max_size=60))
    def test_no_file_raises(self, data: bytes) -> None:
        Attributes({b".gitattributes": data}).of(b"a")
