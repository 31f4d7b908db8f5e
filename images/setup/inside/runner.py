"""Main process of a set-up's container: the relay to the proxy, then each command in its turn.

Reads one line of JSON from standard input: ``commands``, ``variables``, ``files`` (text by path),
``socket`` (the proxy's; empty: no network), ``authorities`` (PEM), ``own_authorities`` (those of
them that are not the public's), ``trust`` (variables that name a file of authorities), ``scratch``
(a folder in memory), ``relay`` (source of the relay), ``as_root``, ``time_s``, ``disk_bytes``. What
commands print goes to standard output, and a line that begins with ``##`` before each one. Ends
with 0, or with 10 + the place of the command that failed. It is on the hostile side: nothing rests
on what it says.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

FIRST_FAILURE = 10
TOO_MUCH = 9
OUT_OF_TIME = 8
"""Where nobody is left to end it."""
_LOOK_EVERY_S = 2.0
_PORT = 3128
_PROXY_STARTS_S = 60.0
"""The first command does not wait for the proxy, what it asks for does."""
_LITTER = (  # each a pattern; these folders are the container's
    "/tmp/*", "/tmp/.[!.]*", "/var/cache/apt/archives/*.deb", "/var/cache/apt/*.bin",
    "/var/lib/apt/lists/*", "~root/.cache", "{home}/.cache/pip", "{home}/.cache/uv",
    "{home}/.npm/_logs",
)  # fmt: skip
_ENVIRONMENTS = ("/*", "/*/*", "/*/.*", "/*/*/envs/*", "{home}/*", "{home}/.*")
"""What has a Python's packages, in ``lib/pythonX.Y``."""


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _relay(source: str, path: str) -> None:
    """Listens at once and works a moment later: the first command waits for neither."""
    listening = socket.create_server(("127.0.0.1", _PORT))
    threading.Thread(target=_hand_on, args=(listening, source, path), daemon=True).start()


def _hand_on(listening: socket.socket, source: str, path: str) -> None:
    import asyncio  # noqa: PLC0415 - beside the first command

    names: dict[str, object] = {"__name__": "relay"}
    exec(compile(source, "relay", "exec"), names)  # noqa: S102 - our own text
    handler = names["connection_handler"]
    until = time.monotonic() + _PROXY_STARTS_S

    async def connect() -> object:
        while not os.path.exists(path) and time.monotonic() < until:
            await asyncio.sleep(0.05)
        return await asyncio.open_unix_connection(path)

    async def serve() -> None:
        server = await asyncio.start_server(handler(connect), sock=listening)  # type: ignore[operator]
        await server.serve_forever()

    asyncio.run(serve())


def _trusted_bundle(scratch: str, authorities: str) -> tuple[str, list[str]]:
    """The image's own authorities and the operator's, as one file; and those that it adds.

    Each stands in it once: clients read all of it for every connection.
    """
    own = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
           "/etc/ssl/cert.pem")  # fmt: skip
    path = os.path.join(scratch, "authorities.pem")
    text = ""
    for name in filter(os.path.isfile, own):
        with open(name, encoding="latin-1") as file:
            text = file.read()
        break
    end = "-----END CERTIFICATE-----\n"
    more = [one + end for one in authorities.split(end) if one and one + end not in text]
    with open(path, "w", encoding="latin-1") as bundle:
        bundle.write("\n".join([text, *more]))
    return path, more


def _java(scratch: str, authorities: list[str], options: str) -> dict[str, str]:
    """Java reads no such file: its own store with these in it; nothing where there is no Java."""
    keytool = shutil.which("keytool")
    if keytool is None or not authorities:
        return {}
    home = os.path.dirname(os.path.dirname(os.path.realpath(keytool)))
    store, one = os.path.join(scratch, "cacerts"), os.path.join(scratch, "authority.pem")
    try:
        shutil.copyfile(os.path.join(home, "lib", "security", "cacerts"), store)
    except OSError:
        return {}
    for number, text in enumerate(authorities):
        with open(one, "w", encoding="latin-1") as file:
            file.write(text)
        subprocess.run(
            [keytool, "-importcert", "-noprompt", "-alias", "operator-" + str(number), "-file", one,
             "-keystore", store, "-storepass", "changeit"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            check=False,
        )  # fmt: skip
    return {"JAVA_TOOL_OPTIONS": (options + " -Djavax.net.ssl.trustStore=" + store).strip()}


def _apt(scratch: str, bundle: str) -> dict[str, str]:
    """The image's sources by TLS, and failures that are errors. Its own files stay as they are."""
    folder = os.path.join(scratch, "apt")
    os.makedirs(os.path.join(folder, "parts"))
    for path in ["/etc/apt/sources.list", *glob.glob("/etc/apt/sources.list.d/*")]:
        if os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read().replace("http://", "https://")
            main = path == "/etc/apt/sources.list"
            name = "sources.list" if main else os.path.join("parts", os.path.basename(path))
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
    rows = {
        "Dir::Etc::sourcelist": folder + "/sources.list",
        "Dir::Etc::sourceparts": folder + "/parts",
        "Acquire::https::Proxy": "http://127.0.0.1:%d" % _PORT,  # noqa: UP031 - 3.8 has no quoting
        "Acquire::https::CAInfo": bundle,
        "APT::Update::Error-Mode": "any",
        "APT::Install-Recommends": "false",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
    }
    path = os.path.join(folder, "apt.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join('%s "%s";\n' % row for row in rows.items()))  # noqa: UP031
    return {"APT_CONFIG": path, "DEBIAN_FRONTEND": "noninteractive"}


def _watch_disk(limit: int) -> None:
    """Ends everything once more than so much was written that still stands."""
    begun_ns = time.time_ns()
    free = _free()
    while True:
        time.sleep(_LOOK_EVERY_S)
        # What others write to the same disk shows here too, so ours is counted.
        if free - _free() > limit and _written(begun_ns) > limit:
            _say("it wrote more than limits.disk, " + str(limit >> 20) + " MiB")
            os._exit(TOO_MUCH)


def _free() -> int:
    state = os.statvfs("/")
    return state.f_bavail * state.f_frsize


def _written(since_ns: int) -> int:
    total, device = 0, os.lstat("/").st_dev
    for folder, folders, names in os.walk("/"):
        folders[:] = [
            name for name in folders if os.lstat(os.path.join(folder, name)).st_dev == device
        ]
        for name in names:
            try:
                info = os.lstat(os.path.join(folder, name))
            except OSError:
                continue
            if info.st_ctime_ns >= since_ns:
                total += info.st_blocks * 512
    return total


def _compile(home: str, since: float, variables: dict[str, str]) -> None:
    """Bytecode of what was installed, by all processors at once.

    pip is told to leave it out (it uses one), and uv does so on its own. The agent may not write
    most of these folders, so each of its Pythons would compile everything again.
    """
    for pattern in _ENVIRONMENTS:
        for packages in glob.glob(pattern.format(home=home) + "/lib/python3*/*-packages"):
            version = os.path.dirname(packages)
            name = os.path.basename(version)
            own = os.path.join(os.path.dirname(os.path.dirname(version)), "bin", name)
            with contextlib.suppress(OSError):
                if os.stat(packages).st_mtime < since:
                    continue
                subprocess.run(
                    [own if os.path.exists(own) else name, "-I", "-m", "compileall", "-qq", "-j0",
                     packages],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                    env=variables, cwd="/", check=False,
                )  # fmt: skip


def main() -> int:
    begun = time.time()
    said = json.loads(sys.stdin.buffer.readline())
    scratch, home = said["scratch"], os.environ.get("HOME") or "/tmp"
    end = threading.Timer(said["time_s"], os._exit, [OUT_OF_TIME])
    end.daemon = True
    end.start()
    threading.Thread(target=_watch_disk, args=(said["disk_bytes"],), daemon=True).start()
    bundle, added = _trusted_bundle(scratch, said["authorities"])
    variables = {**os.environ, **said["variables"]}
    variables.update((name, bundle) for name in said["trust"])
    own = [one for one in added if one in said["own_authorities"]]
    variables.update(_java(scratch, own, variables.get("JAVA_TOOL_OPTIONS", "")))
    if said["socket"]:
        _relay(said["relay"], said["socket"])
    if said["as_root"]:
        variables.update(_apt(scratch, bundle))
    for path, text in said["files"].items():
        place = os.path.join(home, path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "w", encoding="utf-8") as file:
            file.write(text)
    result = 0
    for number, command in enumerate(said["commands"]):
        _say("## " + " ".join(command.split()))
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", command],  # noqa: S607 - the image's
            stdin=subprocess.DEVNULL, env=variables, cwd="/workspace", check=False,
        )  # fmt: skip
        if done.returncode:
            _say("ended with " + str(done.returncode))
            result = FIRST_FAILURE + min(number, 99)
            break
    else:
        _compile(home, begun - 1, variables)
    # What clients leave behind takes space in the layer, and serves nobody.
    for pattern in _LITTER:
        for path in glob.glob(os.path.expanduser(pattern.format(home=home))):
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(path)
    return result


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # What hands connections on may still be loading: an interpreter that is torn down beside that
    # ends with SIGSEGV at times.
    os._exit(code)
