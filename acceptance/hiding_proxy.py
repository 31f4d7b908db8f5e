"""An engine that lacks an image: a socket before the real one, which hides it until it is loaded.

    python hiding_proxy.py SOCKET REFERENCE

So two machines of a test have engines that do not hold the same, though there is one engine. It
prints a line each time that an image is loaded.
"""

import re
import socket
import sys
import threading

ENGINE = "/var/run/docker.sock"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"
NONE = (
    b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n"
    b'Content-Length: 21\r\n\r\n{"message":"not here"}'
)
shown = threading.Event()


def serve(client: socket.socket, reference: str) -> None:
    head = client.recv(1 << 16)
    line = head.partition(b"\r\n")[0].decode("latin-1")
    asked = re.sub(r"%2F", "/", line)
    if f"/images/{reference}/json" in asked and not shown.is_set():
        client.sendall(NONE)
    elif re.match(r"GET \S*/images/json", line):
        client.sendall(EMPTY)
    else:
        engine = socket.socket(socket.AF_UNIX)
        engine.connect(ENGINE)
        engine.sendall(head)
        back = threading.Thread(target=hand_on, args=(engine, client), daemon=True)
        back.start()
        loads = line.startswith("POST") and "/images/load" in line
        hand_on(client, engine, reference.encode() if loads else b"")
        back.join()
        return
    client.shutdown(socket.SHUT_RDWR)
    client.close()


def hand_on(source: socket.socket, target: socket.socket, told: bytes = b"") -> None:
    """Pass bytes on; where they tell the image's name, it stands from then on."""
    last = b""
    try:
        while data := source.recv(1 << 16):
            last = last[-len(told) :] + data
            if told and told in last:
                told = b""
                shown.set()
                print("loaded", flush=True)
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def main(path: str, reference: str) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    print("ready", flush=True)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client, reference), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
