"""Main process of a container that is a company's registry of Go, Rust and Java packages.

/srv by TLS at port 8443 under a certificate of its own, which stands in /srv/own.pem once it is at
work; what was asked for is in /asked.
"""

import http.server
import socket
import ssl
import subprocess
from pathlib import Path

ASKED = Path("/asked")


class Registry(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *args: object) -> None:
        super().__init__(*args, directory="/srv")  # type: ignore[arg-type]

    def log_request(self, code: object = "-", size: object = "-") -> None:
        with ASKED.open("a") as file:
            file.write(f"{int(str(code).split()[-1])} {self.path}\n")


def main() -> None:
    address = socket.gethostbyname(socket.gethostname())
    made = Path("/srv/new.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "/key.pem",
         "-out", made, "-days", "2", "-subj", "/CN=registry", "-addext",
         f"subjectAltName=IP:{address}"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, "/key.pem")
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 8443), Registry)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    made.rename("/srv/own.pem")
    server.serve_forever()


if __name__ == "__main__":
    main()
