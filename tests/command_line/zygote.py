"""A process that has the command line's modules loaded, and forks a `moonpool` for each call.

Loading them takes most of a second of processor time, and the suite calls the command line many
hundred times. What is tested is the same code in a process of its own, with its own environment,
directory and streams; the console script itself is started where a test signals or watches it, and
where the environment counts before the first line of Python runs.
"""

import array
import atexit
import gc
import importlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

LOADED = (
    "agent.cli.app",
    "agent.preparation.model",
    "agent.cli.controller",
    "agent.models.anthropic.client",
    "agent.models.openai.client",
    "agent.models.pricing",
    "agent.models.script",
    "agent.review.pages.report",
    "agent.lifecycle.run",
    "agent.lifecycle.open_sandbox",
    "agent.terminal.result",
    "agent.terminal.rich_screen",
    "policies.loading",
    "sandbox.engine.docker",
)
"""None of them has effects on import."""
_BEFORE_PYTHON = ("LANG", "LC_", "PYTHON", "TZ")


def serves(changes: Mapping[str, str]) -> bool:
    """Whether a fork with these changes to the environment is what a new process would be."""
    return not any(name.startswith(_BEFORE_PYTHON) for name in changes)


class Zygote:
    """Started with an environment; forks until it is closed."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._ours, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self._answers = self._ours.makefile("r")

    def close(self) -> None:
        self._answers.close()
        self._ours.close()
        self._process.wait()

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: str,
        timeout_s: float,
    ) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run`, with text in and out."""
        with (
            tempfile.TemporaryFile() as first,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            first.write(stdin.encode())
            first.seek(0)
            call = json.dumps([list(argv), str(cwd), dict(env)]).encode() + b"\n"
            files = array.array("i", [first.fileno(), out.fileno(), err.fileno()])
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, files)
            sent = self._ours.sendmsg([call], [rights])
            self._ours.sendall(call[sent:])
            pid = int(self._answers.readline())
            killer = threading.Timer(timeout_s, os.kill, (pid, signal.SIGKILL))
            killer.start()
            try:
                code = int(self._answers.readline())
            finally:
                killer.cancel()
            read = []
            for file in (out, err):
                file.seek(0)
                read.append(file.read().decode())
        return subprocess.CompletedProcess(list(argv), code, read[0], read[1])


def _serve(ours: socket.socket) -> None:
    for name in LOADED:
        importlib.import_module(name)
    gc.freeze()  # a collection in a fork would write to every page that it shares with this process
    while True:
        data, ancillary, _, _ = ours.recvmsg(1 << 20, socket.CMSG_SPACE(3 * 4))
        if not data:
            return
        while not data.endswith(b"\n"):
            more = ours.recv(1 << 20)
            if not more:
                return
            data += more
        files = array.array("i")
        files.frombytes(ancillary[0][2])
        pid = os.fork()
        if pid == 0:
            ours.close()
            argv, cwd, env = json.loads(data)
            _be(argv, cwd, env, files)
        for file in files:
            os.close(file)
        ours.sendall(b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        ours.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def _be(argv: list[str], cwd: str, env: dict[str, str], files: Sequence[int]) -> None:
    """Become what `moonpool` would be; does not return."""
    code = 70
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)))
        sys.stderr = io.TextIOWrapper(
            io.BufferedWriter(io.FileIO(2, "w", closefd=False)),
            errors="backslashreplace",
            line_buffering=True,
        )
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(env)
        sys.argv = argv
        try:
            importlib.import_module("agent.cli").main()
        except SystemExit as done:
            code = done.code if isinstance(done.code, int) else int(bool(done.code))
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001 - as the interpreter would
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        os._exit(code)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
