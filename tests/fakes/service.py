"""A service that does whatever it is told over loopback, as one that was taken over would."""

from dataclasses import replace

from policies.policy import Policy, ServiceRule
from sandbox.sandbox import Sandbox

PORT = 7077
_SERVER = f"""
import array, os, socket, socketserver, subprocess, sys, threading, time
held = []
def take(handle):
    data, rows, _, _ = handle.recvmsg(1, socket.CMSG_SPACE(16))
    held.extend(array.array("i", rows[0][2]))
class Told(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            try:
                said = str(eval(line, globals()))
            except Exception as error:
                said = type(error).__name__ + ": " + str(error)
            self.wfile.write(said.replace("\\n", " ").encode() + b"\\n")
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
def passed():
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("handed")
        listener.listen()
        while True:
            with listener.accept()[0] as handle:
                take(handle)
threading.Thread(target=passed, daemon=True).start()
Server(("127.0.0.1", {PORT}), Told).serve_forever()
"""
COMMAND = f"exec python3 -c '{_SERVER}'"
READY = f"python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {PORT}))'"
HANDED = "/moonpool-services/told/handed"


def told(
    *, name: str = "told", command: str = COMMAND, ready: str = READY, timeout_s: float = 60.0
) -> ServiceRule:
    return ServiceRule(
        name=name, command=command, ready=ready, programs=("python3",), timeout_s=timeout_s
    )


def serving(policy: Policy, *services: ServiceRule) -> Policy:
    return replace(policy, services=services or (told(),))


def tell(box: Sandbox, expression: str) -> str:
    """Have the service evaluate a Python expression; what it answers, or why it does not."""
    asking = (
        "import socket, sys\n"
        "try:\n"
        f"    handle = socket.create_connection(('127.0.0.1', {PORT}))\n"
        f"    handle.sendall({expression.encode()!r} + b'\\n')\n"
        "    print(handle.makefile().readline().rstrip())\n"
        "except OSError as error:\n"
        "    print('not there:', error)\n"
    )
    return box.run("python3 -", stdin=asking.encode()).stdout.decode().strip()
