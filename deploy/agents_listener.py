"""Listen to agents on a port of their own: TLS 1.3, their certificates verified by our authority.

Runs in a thread of the api's process, on its desk: one quota and one bound of memory for both.
"""

import contextlib
import datetime as dt
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog
import uvicorn

from api.agents_door import create_agents_app
from api.authority import LISTENER_DAYS, Authority, authority_of
from api.desk import Desk
from deploy.process._peer import Peer
from storage.errors import InopsioError, Unavailable
from storage.sealing import Seal

log = structlog.get_logger()
REQUESTS_AT_ONCE: Final = 2048
"""Connections too, idle ones of agents among them; few are for who shows no certificate."""
AGAIN_S: Final = 5.0
RENEW_EVERY_S: Final = LISTENER_DAYS * 86_400 / 3
STOP_WAIT_S: Final = 10.0
_NO_CHECK_TIME: Final = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME. The application looks at the time: then a certificate that is out of
it is refused in words, with an entry in the tenant's trail, and clocks may be a little off."""


@dataclass(slots=True)
class Listener:
    """Run one listener: made, started and stopped by `listening`."""

    desk: Desk
    authority: Authority
    place: tuple[str, int]
    context: ssl.SSLContext = field(init=False)
    server: uvicorn.Server = field(init=False)

    def __post_init__(self) -> None:
        """Make the TLS context and the server; nothing listens yet."""
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        # Optional: who enrols has none yet. Every other route asks for it.
        self.context.verify_mode = ssl.CERT_OPTIONAL
        self.context.load_verify_locations(cadata=self.authority.pem)
        self.context.verify_flags |= _NO_CHECK_TIME
        self.renew()
        self.server = uvicorn.Server(
            uvicorn.Config(
                create_agents_app(self.desk, self.authority),
                log_level="warning",
                access_log=False,
                server_header=False,
                http=Peer,
                ws="none",
                proxy_headers=False,
                timeout_graceful_shutdown=5,
                limit_concurrency=REQUESTS_AT_ONCE,
                ssl_context_factory=lambda _config, _default: self.context,
            )
        )

    def renew(self) -> None:
        """Take a new certificate for the connections to come."""
        host = self.place[0]
        names = {"localhost", socket.gethostname()}
        if host not in {"0.0.0.0", "::", "localhost"}:  # noqa: S104  comparison, not a bind
            names.add(host)
        certificate, key = self.authority.sign_listener(names, self.desk.now())
        # OpenSSL reads keys from files only; this one lives for the length of the call.
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "listener.pem"
            file.touch(mode=0o600)
            file.write_text(certificate + key, encoding="utf-8")
            self.context.load_cert_chain(file)


@contextlib.contextmanager
def listening(desk: Desk) -> Iterator[None]:
    """Listen to agents for as long as this is open; where that cannot be, say so and try again."""
    host, port = desk.settings.agents_place
    if not port:
        yield
        return
    stop = threading.Event()
    serving = threading.Thread(target=_serve, args=(desk, (host, port), stop), name="agents")
    serving.start()
    try:
        yield
    finally:
        stop.set()
        serving.join()


def _serve(desk: Desk, place: tuple[str, int], stop: threading.Event) -> None:
    told = ""
    while not stop.is_set():
        try:
            authority = authority_of(desk.database, Seal.of(desk.settings), desk.now())
            with contextlib.closing(_bound(place)) as ear:
                log.info("agents_listener_up", host=place[0], port=place[1])
                _listen(Listener(desk, authority, place), ear, stop)
                told = ""
        except (InopsioError, OSError) as wrong:
            if str(wrong) != told:
                told = str(wrong)
                log.warning("agents_listener_off", reason=told[:300], again_in_s=AGAIN_S)
        stop.wait(AGAIN_S)


def _bound(place: tuple[str, int]) -> socket.socket:
    ear = socket.socket(socket.AF_INET6 if ":" in place[0] else socket.AF_INET)
    try:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.bind(place)
    except (OSError, OverflowError) as taken:
        ear.close()
        raise Unavailable(f"{place[0]} port {place[1]} cannot be had ({taken})") from None
    return ear


def _listen(listener: Listener, ear: socket.socket, stop: threading.Event) -> None:
    words = {"sockets": [ear]}
    serving = threading.Thread(target=listener.server.run, kwargs=words, name="agents-serving")
    serving.start()
    since = dt.datetime.now(dt.UTC)
    while serving.is_alive() and not stop.wait(0.5):
        if (dt.datetime.now(dt.UTC) - since).total_seconds() > RENEW_EVERY_S:
            listener.renew()
            since = dt.datetime.now(dt.UTC)
    listener.server.should_exit = True
    serving.join(STOP_WAIT_S)
