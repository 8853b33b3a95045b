"""Hand the tenants' indicators to the flows: look for changes, read them aside."""

import threading
from collections.abc import Mapping
from typing import Final

import structlog

from storage.database import Database
from storage.errors import Unavailable
from storage.indicators import indicator_marks, indicators_of
from storage.schema.indicator import Known

log = structlog.get_logger()
PAUSE_S: Final = 5.0


class TenantIndicators:
    """Hold the indicators of all tenants; `frames` may be read from any thread at any time."""

    def __init__(self, database: Database) -> None:
        """Begin without any; `look` reads them."""
        self._database = database
        self._marks: dict[str, int] = {}
        self.frames: Mapping[str, Known] = {}
        """Tenant -> indicators. Never changed in place: another object means a change."""

    def look(self) -> bool:
        """Read what changed since the last look; give whether anything did."""
        with self._database.writer() as tx:
            marks = indicator_marks(tx)
            if marks == self._marks:
                return False
            changed = [t for t, mark in marks.items() if self._marks.get(t) != mark]
            fresh = {tenant: Known.of(indicators_of(tx, tenant)) for tenant in changed}
        self.frames, self._marks = {**self.frames, **fresh}, marks
        log.info("indicators_changed", tenants=len(changed))
        return True

    def keep_on(self, stop: threading.Event, pause_s: float = PAUSE_S) -> None:
        """Look again and again until `stop` is set; the world being down is waited out."""
        while not stop.wait(pause_s):
            try:
                self.look()
            except Unavailable as down:
                log.warning("indicators_wait", reason=str(down))
