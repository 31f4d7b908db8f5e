"""What a hostile image's own Python says when it is asked what the image holds."""

import itertools

import pytest

from fakes.guest import guest, said
from sandbox.container import guest_installation
from sandbox.errors import ImageUnusable
from sandbox.guest.image_protocol import (
    FoundDirectory,
    FoundLibraries,
    FoundLibrary,
    FoundLink,
    FoundLinks,
    FoundProgram,
    FoundPrograms,
    ImageSeen,
)
from sandbox.guest.message import GuestAnswer
from sandbox.guest.protocol import Freeze

NAMES = [b"%d" % number for number in range(10_000)]

ENDLESS: dict[str, GuestAnswer] = {
    "names of one directory": FoundDirectory(path=b"/", names=NAMES),
    "what one library needs": FoundLibraries(libraries=[FoundLibrary(path=b"/a", needs=NAMES)]),
    "what one program needs": FoundPrograms(
        on_path=True, programs=[FoundProgram(path=b"/a", line=None, identity=0, needs=NAMES)]
    ),
    "one link": FoundLinks(links=[FoundLink(path=b"/a", target=b"/b")] * 1000),
}


@pytest.mark.parametrize("row", ENDLESS)
def test_an_image_without_end_is_refused_before_it_fills_the_host(row: str) -> None:
    endless = itertools.repeat(said(0, ENDLESS[row]))
    with guest(lambda _, __: endless) as link:
        link.send(Freeze())
        with pytest.raises(ImageUnusable, match="too many"):
            guest_installation._look(link)


def test_a_directory_told_in_pieces_is_put_together() -> None:
    rows = [
        FoundDirectory(path=b"/bin", names=[b"a", b"b"]),
        FoundDirectory(path=b"/bin", names=[b"c@"]),
        FoundDirectory(path=b"/empty", names=[]),
        ImageSeen(search_path=b"/bin:relative"),
    ]
    with guest(lambda _, __: [said(0, row) for row in rows]) as link:
        link.send(Freeze())
        inventory, modules = guest_installation._look(link)
    assert inventory.directories == {"/bin": ("a", "b", "c@"), "/empty": ()}
    assert inventory.search_path == ("/bin",)
    assert modules == {}
