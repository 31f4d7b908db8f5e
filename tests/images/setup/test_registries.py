"""What the answers of package clients mean: hosts to let through, and how a set-up's clients get
the same registries. Credentials never get in."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from images.setup.registries import ClientRegistries, ask_here, registries
from sandbox.errors import SandboxError

USER, SECRET = "alice", "hunter2hunter2"


def _answer(*index: str, **others: Any) -> dict[str, Any]:
    return {"index": list(index), "extra": [], "scopes": {}, **others}


def _said(word: str, answer: dict[str, Any], environ: dict[str, str] | None = None) -> str:
    found = registries(word, answer, environ or {})
    return json.dumps([found.hosts, dict(found.variables), dict(found.files)])


def _pip(*index: str, environ: dict[str, str] | None = None) -> ClientRegistries:
    return registries("pip", _answer(*index), environ or {})


def test_the_indexes_of_pip_are_those_of_uv_too() -> None:
    found = _pip("https://a.example/simple", "https://b.example:8443/x", "file:///opt/simple")
    assert found.hosts == (("a.example", 443), ("b.example", 8443))
    assert found.variables == {
        "PIP_INDEX_URL": "https://a.example/simple",
        "UV_DEFAULT_INDEX": "https://a.example/simple",
        "PIP_EXTRA_INDEX_URL": "https://b.example:8443/x",
        "UV_INDEX": "https://b.example:8443/x",
    }


def test_an_index_that_uv_alone_has_is_reached_too() -> None:
    found = _pip("https://a.example/s", environ={"UV_DEFAULT_INDEX": "https://u.example/s"})
    assert found.variables["UV_DEFAULT_INDEX"] == "https://u.example/s"
    assert ("u.example", 443) in found.hosts


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("pip", _answer(f"https://{USER}:{SECRET}@a.example/simple?token={SECRET}#{SECRET}")),
        ("pip", _answer("https://a.example", extra=[f"https://{SECRET}@f.example"])),
        (
            "npm",
            _answer(
                f"https://{USER}:{SECRET}@a.example/",
                scopes={"@x:registry": f"https://{USER}:{SECRET}@b.example/"},
            ),
        ),
        ("go", _answer(f"https://{USER}:{SECRET}@a.example")),
        (
            "cargo",
            _answer(
                "https://a.example",
                scopes={"mirror": f"sparse+https://{USER}:{SECRET}@b.example/i/"},
            ),
        ),
        ("maven", _answer("https://a.example", scopes={"*": f"https://{USER}:{SECRET}@b.example"})),
    ],
)
def test_credentials_stay_outside(word: str, answer: dict[str, Any]) -> None:
    said = _said(word, answer)
    assert SECRET not in said
    assert USER not in said
    assert "a.example" in said


def test_the_indexes_of_uv_lose_their_credentials() -> None:
    environ = {"UV_DEFAULT_INDEX": f"https://{USER}:{SECRET}@u.example/s"}
    assert SECRET not in _said("pip", _answer("https://a.example"), environ)


@pytest.mark.parametrize(
    "address", ["http://a.example/simple", "ftp://a.example", "git+ssh://a.example/x"]
)
@pytest.mark.parametrize("word", ["pip", "npm", "cargo", "go", "maven"])
def test_a_registry_without_tls_is_refused_with_words(word: str, address: str) -> None:
    with pytest.raises(SandboxError, match=r"by TLS only.*a\.example"):
        registries(word, _answer(address), {})


@pytest.mark.parametrize(
    "address",
    ["https://localhost/s", "https://127.0.0.1/s", "https://127.1.2.3/s", "https://[::1]/s",
     "https://[fd00::5]/s", "https://a..example/", "https://a_b.example/", "https:///nohost"],
)  # fmt: skip
def test_a_registry_of_this_machine_alone_is_refused_with_words(address: str) -> None:
    with pytest.raises(SandboxError, match="set-up can't reach"):
        _pip(address)


@pytest.mark.parametrize(
    "host",
    ["a.example/x\nhttp_access allow all", "a.example b.example", "*", ".example.org",
     "a.example%0aallow"],
)  # fmt: skip
def test_a_host_adds_no_rule(host: str) -> None:
    try:
        found = _pip(f"https://{host}")
    except SandboxError:
        return
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz.-") for name, _ in found.hosts)


def test_files_of_this_machine_alone_are_no_registry() -> None:
    with pytest.raises(SandboxError, match="files of this machine alone"):
        _pip("file:///opt/simple", "/opt/wheels")


@pytest.mark.parametrize("answer", [None, [], {}, {"index": 1}, {"index": []}, {"index": ["x"]}])
def test_an_answer_that_is_none_is_said(answer: Any) -> None:
    with pytest.raises(SandboxError):
        registries("npm", answer, {})


def test_apt_asks_by_tls_whatever_its_lists_say() -> None:
    assert registries("apt", _answer("http://d.example/debian"), {}).hosts == (("d.example", 443),)


def test_scopes_of_npm_come_as_its_own_file() -> None:
    scopes = {"@b:registry": "https://b.example/", "@a:registry": "https://a.example:4873/"}
    found = registries("npm", _answer("https://r.example/", scopes=scopes), {})
    assert found.files == {
        ".npmrc": "@a:registry=https://a.example:4873/\n@b:registry=https://b.example/\n"
    }
    assert set(found.hosts) == {("r.example", 443), ("b.example", 443), ("a.example", 4873)}


def test_a_mirror_of_cargos_takes_the_public_ones_place() -> None:
    scopes = {"mirror": "sparse+https://m.example/index/", "own": "https://o.example/i"}
    (text,) = registries("cargo", _answer("https://m.example", scopes=scopes), {}).files.values()
    assert 'replace-with = "mirror"' in text
    assert 'registry = "sparse+https://m.example/index/"' in text
    assert '[registries.own]\nindex = "https://o.example/i"' in text


def test_an_address_adds_nothing_to_cargos_file() -> None:
    scopes = {"own": 'https://o.example/"\nx = 1', 'a]\n[source."b': "https://c.example"}
    found = registries("cargo", _answer("https://m.example", scopes=scopes), {})
    assert found.files[".cargo/config.toml"].splitlines() == ["[registries.own]", 'index = ""']


def test_go_keeps_its_settings_without_credentials() -> None:
    settings = {
        "GOSUMDB": f"sum.example+1f2e https://{USER}:{SECRET}@sum.example/db",
        "GONOSUMDB": "*.corp.example",
    }
    answer = _answer("https://a.example", "https://b.example", settings=settings)
    found = registries("go", answer, {"GOSUMDB": "what a variable says is in the answer"})
    assert found.variables == {
        "GOPROXY": "https://a.example,https://b.example",
        "GOSUMDB": "sum.example+1f2e https://sum.example/db",
        "GONOSUMDB": "*.corp.example",
    }


def test_what_an_image_says_sets_no_variable_of_another_client() -> None:
    answer = _answer("https://a.example", settings={"PIP_INDEX_URL": "https://b.example"})
    assert registries("go", answer, {}).variables == {"GOPROXY": "https://a.example"}


def test_maven_gets_the_proxy_and_the_mirrors_in_its_settings() -> None:
    (text,) = registries(
        "maven", _answer("https://m.example/r", scopes={"<*>": "https://m.example/r?a&b"}), {}
    ).files.values()
    assert "<mirrorOf>&lt;*&gt;</mirrorOf>" in text
    assert "<host>127.0.0.1</host><port>3128</port>" in text


@pytest.fixture
def clients(tmp_path: Path) -> Path:
    """A folder for programs in the clients' place."""
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def _program(folder: Path, name: str, prints: str) -> None:
    (folder / name).write_text(f"#!{sys.executable}\nprint({prints!r})\n")
    (folder / name).chmod(0o755)


def test_the_clients_of_this_machine_are_asked(clients: Path) -> None:
    said = {"registry": "https://n.example/", "@x:registry": "https://x.example/", "before": None}
    _program(clients, "npm", json.dumps(said | {"//n.example/:_authToken": SECRET}))
    _program(
        clients, "go", "https://g.example|https://h.example,direct\nsum.example+1f2e\n\n*.g.example"
    )
    environ = {"PATH": str(clients), "HOME": str(clients)}
    found = ask_here(["npm", "go", "cargo"], environ)
    assert found.keys() == {"npm", "go"}
    assert found["npm"]["scopes"] == {"@x:registry": "https://x.example/"}
    assert SECRET not in json.dumps(found)
    assert found["go"]["index"] == ["https://g.example", "https://h.example"]
    assert found["go"]["extra"] == ["https://sum.example"]
    assert found["go"]["settings"] == {"GOSUMDB": "sum.example+1f2e", "GONOPROXY": "*.g.example"}


def test_what_the_operators_pip_is_configured_to_use_counts(clients: Path) -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(clients),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "https://i.example/simple",
        "PIP_EXTRA_INDEX_URL": "https://j.example/simple",
    }
    answer = ask_here(["pip"], environ)["pip"]
    assert answer["index"] == ["https://i.example/simple", "https://j.example/simple"]
    assert answer["extra"] == []


def test_a_client_is_not_looked_for_where_one_stands(
    clients: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repository may hold a program called npm."""
    _program(clients, "npm", json.dumps({"registry": "https://evil.example/"}))
    monkeypatch.chdir(clients)
    assert ask_here(["npm"], {"PATH": ":.:bin", "HOME": str(clients)}) == {}
