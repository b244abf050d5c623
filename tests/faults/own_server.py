"""A server of a test's own: its port refuses connections until it is opened; it may have a certificate that nobody trusts."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from pathlib import Path
from socketserver import ThreadingTCPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rowcall.core.loose import mapping, parse_json, sequence


class _Echo(BaseHTTPRequestHandler):
    """Says the first message again, in the Responses API."""

    protocol_version = "HTTP/1.1"
    server: "OwnServer"

    def do_POST(self) -> None:
        body = mapping(parse_json(self.rfile.read(int(self.headers["Content-Length"]))))
        said = mapping(sequence(body["input"])[0])["content"]
        message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": said}]}
        reply = json.dumps({"id": "resp_1", "status": "completed", "output": [message]}).encode()
        self.server.asked.append(str(said))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class OwnServer(ThreadingTCPServer):
    """Its port is taken from the beginning; `asked` are the messages that came."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Echo, bind_and_activate=False)
        self.server_bind()
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.asked: list[str] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def open(self) -> None:
        """From now on connections are taken."""
        self.server_activate()
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
        self.server_close()


@contextmanager
def own_server(tls: ssl.SSLContext | None = None) -> Iterator[OwnServer]:
    server = OwnServer(tls)
    try:
        yield server
    finally:
        server.stop()


def untrusted(folder: Path) -> ssl.SSLContext:
    """TLS with a certificate that is signed by nobody but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).add_extension(address, critical=False)
    made = made.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
    encoding = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / "certificate.pem"
    path.write_bytes(key.private_bytes(encoding, *plain) + made.sign(key, hashes.SHA256()).public_bytes(encoding))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
