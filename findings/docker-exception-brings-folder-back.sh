#!/bin/sh
# docker 7.2.0 (the Docker SDK for Python): an exception in .dockerignore for one file sends a whole folder that is
# excluded, if the file's name begins with the folder's.
#
# One would expect "**/data" to leave out data and all that is in it, as the docker command does, and "!dataset.md" to
# concern dataset.md. Either line alone is followed.
#
# What happens: the SDK does not enter an excluded folder, unless an exception lies within it; that is where the text of
# the exception begins with the folder's path. It compares without a slash, so "dataset.md" lies within "data". Once
# inside, a file is excluded by its own path or by as many of its parent folders as the pattern has parts. "**/data" has
# two, "data/big.csv" has one parent, so nothing excludes it. "data" alone would do, and "src/data" has two parents.
#
# Seen on 2026-11-29 (what the engine gets for a folder with app.py, data/big.csv, dataset.md and src/data/b.csv; a small
# stand-in has the engine's part):
#   **/data              app.py dataset.md
#   **/data !dataset.md  app.py data/big.csv dataset.md
#   data !dataset.md     app.py dataset.md src/data/b.csv
#
# It matters to whoever builds the images of an agent's or a benchmark's tasks by the SDK: "COPY . ." gets what the
# file says it must not get, gigabytes of data or the answers to the task, and every change there is another image; the
# docker command, with which one tries it, builds the image without it.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check docker==7.2.0 2>"$tmp/pip.log" || { cat "$tmp/pip.log"; exit 1; }

mkdir -p "$tmp/tree/data" "$tmp/tree/src/data"
cd "$tmp/tree"
touch app.py data/big.csv dataset.md src/data/b.csv
printf 'FROM scratch\nCOPY . .\n' >Dockerfile

"$tmp/venv/bin/python" - <<'PY_END'
import io, sys, tarfile, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import docker

sent = []


class Engine(BaseHTTPRequestHandler):
    """Takes a build's context, and builds nothing."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with tarfile.open(fileobj=io.BytesIO(body)) as archive:
            sent.append([entry.name for entry in archive if entry.isfile()])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *words):
        pass


server = HTTPServer(("127.0.0.1", 0), Engine)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = docker.APIClient(f"tcp://127.0.0.1:{server.server_port}", version="1.43")
for said in ("**/data", "**/data !dataset.md", "data !dataset.md"):
    Path(".dockerignore").write_text(said.replace(" ", "\n"))
    list(client.build(path="."))
    sent[-1] = sorted(set(sent[-1]) - {"Dockerfile", ".dockerignore"})
    print(f"{said:20}", *sent[-1])
if sent[0] != ["app.py", "dataset.md"] or sent[2] != ["app.py", "dataset.md", "src/data/b.csv"]:
    sys.exit("CHANGED: the pattern, or the exception, is no longer followed where it was")
if sent[1] != ["app.py", "data/big.csv", "dataset.md"]:
    sys.exit("CHANGED: the exception brings nothing back any more")
PY_END
