"""Serve the API and the console on one port, and agents on another."""

import signal
from datetime import UTC, datetime
from typing import Any, Final

import structlog
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from dashboards.app import mount
from deploy.agents_listener import listening
from deploy.house import House, opened
from deploy.process._hasty import Hasty
from deploy.running import LOOPBACK, is_tls_wanted, until_told_to_stop
from deploy.tls import papers
from storage.settings import Settings

log = structlog.get_logger()
REQUESTS_AT_ONCE: Final = 512


def run(settings: Settings) -> None:
    """Serve until told to stop; uvicorn listens to the signals itself."""
    if settings.http_host not in LOOPBACK and not is_tls_wanted(settings):
        log.warning("listening_beyond_loopback_in_clear", host=settings.http_host)
    stop = until_told_to_stop()
    with opened(settings) as house:
        app = create_app(settings, house.database, house.log, house.lake)
        server = uvicorn.Server(_web(settings, house, app))

        def told(_signal: int, _frame: object) -> None:
            server.should_exit = True

        # Before uvicorn listens itself, and after: it raises the signal again when it has ended,
        # which would be our end too, before the database is left in good order.
        signal.signal(signal.SIGTERM, told)
        signal.signal(signal.SIGINT, told)
        if not stop.is_set():
            with listening(app.state.desk):
                server.run()


def _web(settings: Settings, house: House, app: FastAPI) -> uvicorn.Config:
    mount(app, settings, house.database, house.lake)
    tls: dict[str, Any] = {}
    if is_tls_wanted(settings):
        mine = papers(settings, datetime.now(UTC))
        tls = {"ssl_certfile": str(mine.certificate), "ssl_keyfile": str(mine.key)}
    return uvicorn.Config(
        app,
        host=settings.http_host,
        port=settings.http_port,
        log_level="warning",
        access_log=False,
        server_header=False,
        http=Hasty,
        # A client's own X-Forwarded-For would let it choose the address that is throttled.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
        timeout_graceful_shutdown=5,
        limit_concurrency=REQUESTS_AT_ONCE,
        **tls,
    )
