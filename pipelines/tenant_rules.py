"""Run tenants' own rules: look for changes, compile them aside, hand them to the flows."""

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from storage.database import Database
from storage.errors import Unavailable
from storage.rules import rule_marks, rule_texts

log = structlog.get_logger()
PAUSE_S: Final = 3.0
Compile = Callable[[Mapping[str, bytes]], Any]
"""Gives a tenant's compiled rules from its texts (rule id -> text); opaque to the flow."""


class TenantRules:
    """Hold the compiled rules of all tenants; `sets` may be read from any thread at any time."""

    def __init__(self, database: Database, compile_texts: Compile) -> None:
        """Begin without rules; `look` reads them."""
        self._database = database
        self._compile = compile_texts
        self._marks: dict[str, str] = {}
        self.sets: Mapping[str, Any] = {}
        """Tenant -> rules. Never changed in place: another object means that something changed."""

    def look(self) -> bool:
        """Compile what changed since the last look; give whether anything did.

        Unavailable if the database is down. A tenant's rule that cannot run is left out.
        """
        with self._database.writer() as tx:
            marks = rule_marks(tx)
            changed = [t for t, mark in marks.items() if self._marks.get(t) != mark]
            texts = {t: rule_texts(tx, t) for t in changed}
        if marks == self._marks:
            return False
        sets = {t: compiled for t, compiled in self.sets.items() if t in marks}
        for tenant, own in texts.items():
            sets[tenant] = self._compile({name: text.encode() for name, text in own.items()})
        self.sets, self._marks = sets, marks
        log.info("tenant_rules_changed", tenants=len(changed))
        return True

    def keep_on(self, stop: threading.Event, pause_s: float = PAUSE_S) -> None:
        """Look again and again until `stop` is set; the world being down is waited out."""
        while not stop.wait(pause_s):
            try:
                self.look()
            except Unavailable as down:
                log.warning("tenant_rules_wait", reason=str(down))
