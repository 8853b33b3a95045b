"""Serve feeds on loopback, as a friendly or a hostile server would: real sockets, real TLS."""

import contextlib
import datetime as dt
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Seen:
    """A request as it came in."""

    path: str
    headers: dict[str, str]


@dataclass
class FeedServer:
    """Answers by path (without query): (status, headers, body), or a function of the handler."""

    port: int = 0
    answers: dict[str, object] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)

    def url(self, path: str = "/", scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def put(self, path: str, body: bytes, status: int = 200, **heads: str) -> None:
        named = {name.replace("_", "-"): value for name, value in heads.items()}
        self.answers[path] = (status, named, body)

    def does(self, path: str, act: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.answers[path] = act


@contextlib.contextmanager
def feed_server(tls: ssl.SSLContext | None = None) -> Iterator[FeedServer]:
    """Lend a running server; it is gone afterwards."""
    told = FeedServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            told.seen.append(Seen(self.path, {k.lower(): v for k, v in self.headers.items()}))
            answer = told.answers.get(self.path.partition("?")[0])
            self.close_connection = True
            if callable(answer):
                with contextlib.suppress(OSError):
                    answer(self)
                return
            status, heads, body = answer if isinstance(answer, tuple) else (404, {}, b"none")
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **heads}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    told.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def tls_of(folder: Path, *names: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Give a server's context with a certificate of these names, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = dt.datetime.now(dt.UTC)
    kinds: list[x509.GeneralName] = []
    for name in names:
        try:
            kinds.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            kinds.append(x509.DNSName(name))
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(kinds), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    papers = folder / "server.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    papers.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(papers)
    client = ssl.create_default_context(
        cadata=made.public_bytes(serialization.Encoding.PEM).decode()
    )
    return server, client
