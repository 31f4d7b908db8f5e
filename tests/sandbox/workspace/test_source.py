"""What can be said as a workspace, before anything is looked at."""

from pathlib import Path

import pytest

from sandbox.container.own_files import GUEST_DIRECTORY
from sandbox.errors import WorkspaceError
from sandbox.workspace.source import NOWHERE, ImageFolder, named, on_host


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("image:/testbed", "/testbed"),
        ("image://testbed//a/./b/", "/testbed/a/b"),
        ("image:/usr/src/app", "/usr/src/app"),
        ("image:/workspace", "/workspace"),
        ("image:/root/a b", "/root/a b"),
        ("image:/binary", "/binary"),
    ],
)
def test_a_folder_of_an_image(text: str, path: str) -> None:
    place = named(text)
    assert place == ImageFolder(path)
    assert named(str(place)) == place
    assert on_host(place) == NOWHERE
    assert not (NOWHERE / "a").exists()


def test_all_else_is_a_directory() -> None:
    for text in (".", "/testbed", "images:/x", "./image:/testbed", "IMAGE:/testbed"):
        assert named(text) == Path(text) == on_host(named(text))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "absolute"),
        ("testbed", "absolute"),
        ("/a\nb", "absolute"),
        ("/" + "a" * 5000, "absolute"),
        ("/testbed/../etc", "upwards"),
        ("/", "needs"),
        ("/usr", "needs"),
        ("/usr/local", "needs"),
        ("/var", "needs"),
        ("/opt", "needs"),
        ("/home", "needs"),
        ("/proc/self/cwd", "system"),
        ("/sys", "system"),
        ("/dev/shm", "system"),
        ("/etc/x", "system"),
        ("/bin", "system"),
        ("/lib64/x", "system"),
        ("/tmp/x", "system"),
        ("/var/tmp/x", "system"),
        ("/usr/local/bin", "system"),
        ("/home/agent", "anew"),
        ("/home/agent/x", "anew"),
        (f"/{GUEST_DIRECTORY}", "anew"),
        (f"/{GUEST_DIRECTORY}/rt/bin", "anew"),
        ("/workspace/x", "anew"),
    ],
)
def test_refused_with_words(path: str, words: str) -> None:
    with pytest.raises(WorkspaceError, match=words):
        named(f"image:{path}")
