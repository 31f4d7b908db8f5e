"""Which files that may hold secrets are copied: by what git tracks, and by what they hold."""

import os
import subprocess
from pathlib import Path

import pytest

from policies.loading import load
from policies.policy import History
from sandbox.workspace.scan import scan
from sandbox.workspace.secret_files import live_secret
from sandbox.workspace.selection import Selection, select

RULES = load("default").workspace
KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQAw\n-----END PRIVATE KEY-----\n"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
TOKEN = "ghp_" + "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX"


def put(root: Path, **files: str) -> None:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def track(root: Path, *names: str) -> None:
    for words in (["init", "-q"], ["add", "-f", *names]):
        subprocess.run(["git", *words], cwd=root, check=True, env={"PATH": "/usr/bin:/bin"})


def chosen(root: Path) -> Selection:
    return select(scan(root), RULES)


def kept(root: Path) -> set[str]:
    return {item.path.decode() for item in chosen(root).copied if b".git" not in item.path}


def test_what_git_tracks_is_copied_and_what_it_does_not_is_not(workspace: Path) -> None:
    put(workspace, **{"a.key": KEY, ".env": "A=1\n", ".ssh/id_rsa": KEY, "mine.key": KEY})
    put(workspace, **{".ssh/mine": KEY, ".aws/credentials": "x", "d/.npmrc": "a=1\n"})
    track(workspace, "a.key", ".env", ".ssh/id_rsa", "d/.npmrc")
    assert kept(workspace) == {"a.key", ".env", ".ssh", ".ssh/id_rsa", "d", "d/.npmrc"}
    left = {item.path: item.reason for item in chosen(workspace).left_out}
    assert left.keys() == {b"mine.key", b".ssh/mine", b".aws"}
    assert all("policy" in reason for reason in left.values())


def test_what_is_tracked_and_was_changed_is_copied_unless_it_may_be_a_secret(
    workspace: Path,
) -> None:
    put(workspace, **{"a.key": "x", ".env": "A=1\n", ".env.ci": "A=1\n", "b.pem": CERTIFICATE})
    track(workspace, ".")
    put(workspace, **{"a.key": KEY, ".env": "DB_PASSWORD=hunter2\n", ".env.ci": "A=2\n"})
    put(workspace, **{"b.pem": CERTIFICATE * 2})
    assert kept(workspace) == {".env.ci", "b.pem"}


def test_a_live_token_stays_out_though_git_tracks_it(workspace: Path) -> None:
    put(workspace, **{".npmrc": f"//registry/:_authToken={TOKEN}\n", ".env": "TOKEN=example\n"})
    track(workspace, ".")
    assert kept(workspace) == {".env"}
    assert [item.reason for item in chosen(workspace).left_out] == [
        "holds what looks like a live secret: npm token"
    ]


def test_certificates_are_no_secrets_and_keys_are(workspace: Path) -> None:
    put(workspace, **{"ca.pem": CERTIFICATE, "both.pem": CERTIFICATE + KEY, "key.pem": KEY})
    put(workspace, **{".venv/certifi/cacert.pem": "# made\n" + CERTIFICATE * 3})
    (workspace / "der.pem").write_bytes(b"\x30\x82\x00\xff")
    assert kept(workspace) == {"ca.pem", ".venv", ".venv/certifi", ".venv/certifi/cacert.pem"}


def test_of_an_archive_without_git_harmless_files_among_the_tests_are_fixtures(
    workspace: Path,
) -> None:
    put(
        workspace, **{"tests/app/.env": "FOO=env\nHAM=火腿\n", ".env": "A=1\n", "src/.env": "A=1\n"}
    )
    put(workspace, **{"tests/b/.env": "API_KEY=abcd\n", "tests/c/.env": f"A={TOKEN}\n"})
    put(workspace, **{"tests/d/.env": "URL=db://me:secret@host\n", "tests/k.key": KEY})
    put(
        workspace, **{"tests/e/.env": "A=0f3b1c5d7e9a2b4c6d8e0f1a\n", "tests/.aws/credentials": "x"}
    )
    (workspace / "tests/f.key").write_bytes(b"\x30\x82\x00\xff")
    (workspace / "tests/g.key").symlink_to("/etc/hosts")
    files = {name for name in kept(workspace) if (workspace / name).is_file()}
    assert files == {"tests/app/.env"}
    track(workspace, "src/.env")
    assert kept(workspace) == {
        "src",
        "src/.env",
        "tests",
        *(f"tests/{n}" for n in ["app", "b", "c", "d", "e"]),
    }


@pytest.mark.parametrize("text", ["auth" * 500_000, "auth " * 400_000, "auth" + " " * 2_000_000])
def test_no_text_makes_the_search_for_names_of_secrets_endless(workspace: Path, text: str) -> None:
    """Begun anew at each word, one long name took hours."""
    put(workspace, **{"tests/long/.env": text, "tests/told/.env": f"{text}= abcd\n"})
    assert "tests/told/.env" not in kept(workspace)
    put(workspace, **{"tracked/.env": "A=1\n", "told/.env": "A=1\n"})
    track(workspace, "tracked/.env", "told/.env")
    put(workspace, **{"tracked/.env": text, "told/.env": f"{text}= abcd\n"})
    assert {"tracked/.env", "told/.env"} & kept(workspace) == {"tracked/.env"}


@pytest.mark.parametrize(
    "text",
    ["a.secret-x = abcd", '"API_KEY" : "abcd"', "x=token=abcd", "my-auth:\n  abcd", "u://a:bcd@h"],
)
def test_what_is_tracked_and_now_assigns_a_secret_stays_out(workspace: Path, text: str) -> None:
    put(workspace, **{"a/.env": "A=1\n", "b/.env": "A=1\n"})
    track(workspace, ".")
    put(workspace, **{"a/.env": f"{text}\n", "b/.env": f"{text.replace('abcd', 'abc')[:-3]}\n"})
    assert {"a/.env", "b/.env"} & kept(workspace) == {"b/.env"}


def test_keys_that_were_published_with_an_archive_are_fixtures_and_later_ones_are_not(
    workspace: Path,
) -> None:
    put(workspace, **{"PKG-INFO": "Name: x\n", "tests/a.key": KEY, "tests/later.key": KEY})
    put(workspace, **{"a.key": KEY, "tests/live.key": f"{KEY}{TOKEN}\n"})
    for name in ("tests/a.key", "a.key", "tests/live.key"):
        os.utime(workspace / name, (1_000_000_000, 1_000_000_000))
    os.utime(workspace / "PKG-INFO", (1_000_000_001, 1_000_000_001))
    assert kept(workspace) == {"PKG-INFO", "tests", "tests/a.key"}


def test_the_operators_own_patterns_are_obeyed_whatever_git_tracks(
    workspace: Path, tmp_path: Path
) -> None:
    put(workspace, **{"a.key": "x", "b.key": "x"})
    track(workspace, ".")
    own = tmp_path / "own.yaml"
    own.write_text("version: 1\nname: own\nextends: default\nworkspace: {exclude: [a.key]}\n")
    selection = select(scan(workspace), load(str(own)).workspace)
    assert [(item.path, item.reason) for item in selection.left_out] == [
        (b"a.key", "excluded by the policy")
    ]


def test_what_is_tracked_counts_where_no_history_goes_in(workspace: Path, tmp_path: Path) -> None:
    put(workspace, **{"a.key": "x"})
    track(workspace, ".")
    own = tmp_path / "own.yaml"
    own.write_text("version: 1\nname: own\nworkspace: {history: none}\n")
    rules = load(str(own)).workspace
    assert rules.history is History.NONE
    assert {item.path for item in select(scan(workspace), rules).copied} == {b"a.key"}


@pytest.mark.parametrize(
    "text",
    [
        TOKEN,
        "AKIAQ3EGABCDEFGH2345",
        "glpat-abcDEF123456ghiJKL789",
        "sk-ant-api03-abcDEF123456ghiJKL",
        "sk-proj-abcDEF123456ghiJKL789mnoPQR012stu",
        "AIzaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
        "xoxb-123456789012-abcDEFghiJKL",
        "//r/:_authToken=6a7b8c9d-1e2f-4a5b-8c9d",
        "_auth = dXNlcjpwYXNzd29yZA==",
    ],
)
def test_forms_of_live_tokens(text: str) -> None:
    assert live_secret(f"X={text}\n".encode())


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "x" * 36,
        "_authToken=${NPM_TOKEN}",
        "password=changeme",
        "npm_config_cache=/tmp",
        "sk-test",
    ],
)
def test_what_is_none(text: str) -> None:
    assert live_secret(text.encode()) is None
