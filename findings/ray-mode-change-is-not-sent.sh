#!/bin/sh
# ray 2.60.0: "chmod +x run.sh" does not reach the cluster: a job's folder is sent again where a name or a text changed,
# not where a mode did.
#
# One would expect the job to run in the folder as it is when the job is submitted. Ray keeps modes: it packs the folder
# as a zip file with the modes in it, and sets them where it unpacks.
#
# What happens: a package is named by a hash of the names and the contents of its files, and a package whose name the
# cluster knows is not sent. The hash has no modes, so the folder after chmod has the name of the one before, and the
# job gets that one. A node too unpacks each name once, and keeps the folder for later jobs. All that is said is that
# the package already exists. A change of any file's text brings the mode along.
#
# Seen on 2026-11-30 (what the cluster gets by submit_job, exit status of ./run.sh as unpacked there; a small stand-in
# has the cluster's part):
#   first job:          a package 126
#   after chmod +x:     nothing 126
#   after another line: a package 0
#   after chmod -x:     nothing 0
#
# It matters to whoever sends agents' work or evaluations to a cluster by "ray job submit --working-dir": "Permission
# denied" stays after what mends it everywhere else, and where one submits from, the same script runs. The
# other way round a script that was switched off by its mode still runs.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check "ray[default]==2.60.0" 2>"$tmp/pip.log" ||
	{ cat "$tmp/pip.log"; exit 1; }

export HOME="$tmp" RAY_USAGE_STATS_ENABLED=0
cd "$tmp"
"$tmp/venv/bin/python" -W ignore - <<'PY_END'
import json, logging, subprocess, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import ray
from ray._private.runtime_env.packaging import unzip_package
from ray.job_submission import JobSubmissionClient

logging.disable(logging.WARNING)
packages, sent, jobs = {}, [], []


class Cluster(BaseHTTPRequestHandler):
    """Keeps packages and takes jobs, as a cluster's job server does."""

    def answer(self, status, **body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def body(self):
        return self.rfile.read(int(self.headers["Content-Length"]))

    def do_GET(self):
        version = {"version": "4", "ray_version": ray.__version__, "ray_commit": "", "session_name": "s"}
        self.answer(200 if "version" in self.path or self.path in packages else 404, **version)

    def do_PUT(self):
        packages[self.path] = self.body()
        sent.append(self.path)
        self.answer(200)

    def do_POST(self):
        jobs.append(json.loads(self.body())["runtime_env"]["working_dir"].rpartition("/")[2])
        self.answer(200, job_id="j", submission_id="j")

    def log_message(self, *words):
        pass


server = HTTPServer(("127.0.0.1", 0), Cluster)
threading.Thread(target=server.serve_forever, daemon=True).start()
script = Path("job/run.sh")
script.parent.mkdir()
script.write_text("#!/bin/sh\necho step one >&2\n")
changed = False
for what, change, expected in (
    ("first job:         ", lambda: script.chmod(0o644), ("a package", 126)),
    ("after chmod +x:    ", lambda: script.chmod(0o755), ("nothing", 126)),
    ("after another line:", lambda: script.write_text("#!/bin/sh\nexit 0\n"), ("a package", 0)),
    ("after chmod -x:    ", lambda: script.chmod(0o644), ("nothing", 0)),
):
    change()
    sent.clear()
    client = JobSubmissionClient(f"http://127.0.0.1:{server.server_port}")
    client.submit_job(entrypoint="./run.sh", runtime_env={"working_dir": "job"})
    (package,) = [content for path, content in packages.items() if path.endswith(jobs[-1])]
    Path("package.zip").write_bytes(package)
    unzip_package("package.zip", f"unpacked{len(jobs)}", remove_top_level_directory=False, unlink_zip=True)
    ran = subprocess.run(["sh", "-c", "./run.sh"], cwd=f"unpacked{len(jobs)}", stderr=subprocess.DEVNULL)
    seen = ("a package" if sent else "nothing", ran.returncode)
    print(what, *seen)
    changed |= seen != expected
if changed:
    sys.exit("CHANGED: ray now sees the change of a mode, or no longer keeps modes")
PY_END
