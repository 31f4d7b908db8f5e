#!/bin/sh
# docker 7.2.0 (the Docker SDK for Python): one container that exits with 1 takes down a whole process pool, the
# other jobs with it.
#
# One would expect a job of concurrent.futures.ProcessPoolExecutor that calls containers.run() on a failing
# command to hand its ContainerError to the caller, and the jobs beside it to go on.
#
# What happens: ContainerError wants five arguments and passes one message to its base class. Such an exception
# can be pickled in the worker and cannot be rebuilt in the parent. The executor takes that for a dead worker and
# marks itself as broken: every other job is ended, and each caller gets BrokenProcessPool, which names neither
# the container nor the status. That is so for an engine reached by TCP. By a unix socket the error holds the
# client, which cannot be pickled at all, and the caller gets an error about that instead.
#
# Seen on 2026-11-29, with a small stand-in for the engine's HTTP interface, in Python 3.11:
#   tcp: failing job BrokenProcessPool, healthy job BrokenProcessPool
#   unix: failing job AttributeError, healthy job done
#
# It matters to whoever runs a benchmark's containers in parallel: the first task with a red test ends the run of
# all others, and the trace speaks of a process that was terminated abruptly. Catching ContainerError inside the
# job and returning its fields is what helps.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check docker==7.2.0 2>"$tmp/pip.log" || { cat "$tmp/pip.log"; exit 1; }

export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
cat >"$tmp/pool.py" <<'PY_END'
import concurrent.futures, http.server, json, os, re, socketserver, sys, threading, time
import docker


class Engine(http.server.BaseHTTPRequestHandler):
    """The few calls that containers.run() makes; every container ends with status 1."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def address_string(self):
        return "local"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = re.sub(r"^/v[\d.]+|\?.*", "", self.path)
        status, body = {
            "/containers/create": (201, {"Id": "c0ffee", "Warnings": []}),
            "/containers/c0ffee/start": (204, None),
            "/containers/c0ffee/wait": (200, {"StatusCode": 1}),
            "/containers/c0ffee/json": (200, {
                "Id": "c0ffee", "Config": {"Tty": False}, "HostConfig": {"LogConfig": {"Type": "json-file"}},
            }),
            "/containers/c0ffee/logs": (200, b""),
        }[path]
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = answer


class Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True


class Unix(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def failing(url):
    docker.DockerClient(base_url=url, version="1.41").containers.run("image", "false")


def healthy(url):
    time.sleep(3)
    return "done"


def outcome(future):
    try:
        return future.result(timeout=30)
    except BaseException as error:
        return type(error).__name__


if __name__ == "__main__":
    socket = os.path.join(sys.argv[1], "s")
    tcp, unix = Tcp(("127.0.0.1", 0), Engine), Unix(socket, Engine)
    seen = {}
    for name, server, url in (("tcp", tcp, f"tcp://127.0.0.1:{tcp.server_address[1]}"), ("unix", unix, f"unix://{socket}")):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            failing(url)
        except docker.errors.ContainerError as error:
            assert error.exit_status == 1
        with concurrent.futures.ProcessPoolExecutor(2) as pool:
            jobs = [pool.submit(job, url) for job in (healthy, failing)]
            good, bad = map(outcome, jobs)
        seen[name] = (bad, good)
        print(f"{name}: failing job {bad}, healthy job {good}", flush=True)
    if seen["tcp"] != ("BrokenProcessPool", "BrokenProcessPool"):
        sys.exit("CHANGED: a ContainerError no longer breaks the pool")
    if seen["unix"][0] == "ContainerError" or seen["unix"][1] != "done":
        sys.exit("CHANGED: by a unix socket, the error arrives, or the healthy job does not")
PY_END
"$tmp/venv/bin/python" -W ignore "$tmp/pool.py" "$tmp"
