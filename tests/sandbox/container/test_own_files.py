"""Names, places and search path that a suite which passes on the host relies on inside."""

from dataclasses import replace
from pathlib import Path

import pytest

from conftest import OpenBox
from policies.loading import load
from sandbox.container.own_files import OPTIONAL, of_image
from sandbox.sandbox import Sandbox

SERVER = """
import http.client, http.server, socket, threading
server = http.server.HTTPServer(("localhost", 0), http.server.BaseHTTPRequestHandler)
threading.Thread(target=server.handle_request, daemon=True).start()
client = http.client.HTTPConnection("localhost", server.server_port)
client.request("GET", "/")
print(client.getresponse().status, {row[4][0] for row in socket.getaddrinfo("localhost", 80)})
print(socket.gethostbyname(socket.gethostname()), socket.gethostbyname(socket.getfqdn()))
print(socket.getservbyname("https"), socket.getprotobyname("udp"), open("/etc/hostname").read())
"""


def test_the_loopback_and_the_containers_own_name_resolve(box: Sandbox) -> None:
    printed = box.run("python3 -", stdin=SERVER.encode()).stdout
    assert printed == b"501 {'127.0.0.1'}\n127.0.0.1 127.0.0.1\n443 17 moonpool\n\n"


def test_names_resolve_still_after_a_restart(box: Sandbox) -> None:
    box.break_off()
    assert box.rouse()
    assert b"localhost" in box.run("cat /etc/hosts").stdout


def test_an_engine_that_does_not_see_our_files_gets_them_sent(
    open_box: OpenBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.container.own_files.hosts_file", lambda _: Path("/nonexistent/h"))
    monkeypatch.setattr("sandbox.container.own_files.keep_hosts_file", lambda _: None)
    box = open_box()
    assert b"/etc/hosts" not in box.run("cat /proc/mounts").stdout
    assert box.run("grep -c . /etc/hosts").stdout == b"2\n"


def test_what_resolves_is_not_the_agents_to_say(box: Sandbox) -> None:
    tried = box.run("echo 127.0.0.1 x >> /etc/hosts || cp /dev/null /etc/hosts || rm /etc/hosts")
    assert tried.exit_code
    assert box.run("grep -c . /etc/hosts").stdout == b"2\n"


def test_shared_memory_follows_the_memory_limit_and_counts_towards_it(box: Sandbox) -> None:
    seen = box.run("stat -f -c '%b %S' /dev/shm").stdout.split()
    assert int(seen[0]) * int(seen[1]) == 2 << 30
    filled = box.run("head -c 200M /dev/zero > /dev/shm/x; stat -c %s /dev/shm/x")
    assert filled.stdout == b"209715200\n"


def test_scratch_is_one_place(box: Sandbox) -> None:
    assert box.run("touch /var/tmp/x; ls /tmp/x; stat -c %a /tmp").stdout == b"/tmp/x\n1777\n"


def test_programs_are_looked_for_where_the_image_says(box: Sandbox) -> None:
    made = "mkdir -p ~/.local/bin && echo 'echo ran' > ~/.local/bin/mine && chmod +x ~/.local/bin/*"
    assert box.run(f"{made}; mine").stdout == b"ran\n"


def test_where_files_of_the_agent_do_not_run_its_home_is_no_exception(open_box: OpenBox) -> None:
    box = open_box(replace(load("default"), exec_workspace=False))
    made = "mkdir -p ~/.local/bin && echo 'echo ran' > ~/.local/bin/mine && chmod +x ~/.local/bin/*"
    assert box.run(f"{made}; mine").stdout == b""


@pytest.mark.parametrize("lacking", [(), OPTIONAL])
def test_an_images_own_lists_of_names_are_kept(lacking: tuple[str, ...]) -> None:
    assert all((path.encode()[1:] in of_image(lacking)) == (path in lacking) for path in OPTIONAL)
