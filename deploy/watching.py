"""Watch over the agents: what is missing in their streams and who is silent, every few seconds."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import structlog

from api.agent_watch import SILENT_AFTER, forget, watch
from deploy.house import House
from storage.errors import InopsioError

log = structlog.get_logger()
EVERY_S: Final = 5.0
_FORGET_EVERY: Final = 720


def serve(
    house: House,
    stop: threading.Event,
    now_us: Callable[[], int],
    every_s: float = EVERY_S,
) -> None:
    """Look every five seconds until told to stop; a look that fails is logged and made again.

    Silence is judged once the house itself has been there as long as an agent may be silent.
    """
    began, looks = _at(now_us()), 0
    while not stop.wait(every_s):
        now = _at(now_us())
        try:
            told = watch(house.database, now, now - began > SILENT_AFTER)
            if looks % _FORGET_EVERY == 0:
                forget(house.database, now)
        except InopsioError as error:
            log.warning("agents_not_watched", reason=str(error)[:300])
            continue
        looks += 1
        if told:
            log.info("agents_watched", **told)


def _at(now_us: int) -> datetime:
    return datetime.fromtimestamp(now_us / 1e6, UTC)
