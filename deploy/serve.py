"""Run one of the house's processes until it is told to stop."""

from collections.abc import Callable, Mapping
from typing import Final

import structlog
import uvicorn
from api.app import create_app
from dashboards.app import mount
from pipelines.flow import run_flow
from storage.outbox import relay

from business._consume import consume
from deploy.house import House, opened, until_told_to_stop
from storage.errors import InvalidInput, Unavailable
from storage.settings import Settings

log = structlog.get_logger()
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
RELAY_PAUSE_S: Final = 0.2
RELAY_ROWS: Final = 1000


def pipelines(settings: Settings) -> None:
    """Read the raw topic, detect, commit."""
    stop = until_told_to_stop()
    with opened(settings) as house:
        run_flow(settings, house.database, house.log, house.lake, stop=stop)


def business(settings: Settings) -> None:
    """Consume findings into incidents."""
    stop = until_told_to_stop()
    with opened(settings) as house:
        consume(house.database, house.log, stop)


def outbox(settings: Settings) -> None:
    """Tell the log what the ledger has promised to tell."""
    stop = until_told_to_stop()
    with opened(settings) as house:
        while not stop.is_set():
            try:
                told = relay(house.database.writer, house.log, RELAY_ROWS)
            except Unavailable as down:
                log.warning("outbox_waits", reason=str(down))
                told = 0
            if told == 0:
                stop.wait(RELAY_PAUSE_S)


def api(settings: Settings) -> None:
    """Serve the API and the console on one port."""
    if settings.http_host not in LOOPBACK:
        log.warning("listening_beyond_loopback", host=settings.http_host, tls=False)
    with opened(settings) as house:
        uvicorn.Server(_web(settings, house)).run()


def _web(settings: Settings, house: House) -> uvicorn.Config:
    app = create_app(settings, house.database, house.log, house.lake)
    mount(app, settings, house.database, house.lake)
    return uvicorn.Config(
        app,
        host=settings.http_host,
        port=settings.http_port,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=5,
        limit_concurrency=512,
    )


PROCESSES: Final[Mapping[str, Callable[[Settings], None]]] = {
    "pipelines": pipelines,
    "business": business,
    "outbox": outbox,
    "api": api,
}


def run(name: str, settings: Settings) -> None:
    """Run the process of that name; InvalidInput lists the names there are."""
    try:
        process = PROCESSES[name]
    except KeyError:
        names = ", ".join(PROCESSES)
        raise InvalidInput(f"there is no process '{name}'; one of: {names}") from None
    process(settings)
