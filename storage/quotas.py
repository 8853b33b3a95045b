"""Hold a tenant to the bytes a second that it may send, so that none can crowd out the others."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from storage.audit import write_audit
from storage.database import Database
from storage.database.queries import execute, select
from storage.errors import InvalidInput, Overloaded, Unavailable
from storage.tenant import Scope

BURST_S: Final = 10
"""So many seconds of its rate may a tenant send at once."""
KEPT_US: Final = 10_000_000
"""A rate that was changed counts after so long, µs."""
LONGEST_WAIT_S: Final = 3600
MOST_BYTES_S: Final = 1 << 40
_US: Final = 1_000_000


@dataclass(slots=True)
class _Account:
    rate: int
    left: float
    at_us: int
    asked_us: int


class Quotas:
    """Count what tenants send in this process; with several front doors each counts for itself.

    `rate_of`: gives a tenant's own rate in bytes a second (0 = no bound), None for `usual`. A
    request passes while its tenant is not in debt, however large it is; what it takes too much is
    waited for before the next.
    """

    def __init__(self, rate_of: Callable[[str], int | None], usual: int) -> None:
        """Begin with nobody counted."""
        self._rate_of = rate_of
        self._usual = usual
        self._accounts: dict[str, _Account] = {}
        self._lock = threading.Lock()

    def take(self, tenant_id: str, size_bytes: int, now_us: int) -> None:
        """Count the bytes, or raise Overloaded with the seconds until the tenant is out of debt."""
        account = self._account(tenant_id, now_us)
        if not account.rate:
            return
        with self._lock:
            passed_s = max(0, now_us - account.at_us) / _US
            most = float(account.rate * BURST_S)
            account.left = min(most, account.left + passed_s * account.rate)
            account.at_us = now_us
            if account.left > 0:
                account.left -= size_bytes
                return
            wait_s = min(LONGEST_WAIT_S, int(-account.left / account.rate) + 1)
        raise Overloaded(
            f"tenant '{tenant_id}' sends more than its {account.rate} bytes a second; wait and "
            "send again, or ask the operator: inopsio tenant quota",
            retry_after_s=wait_s,
        )

    def _account(self, tenant_id: str, now_us: int) -> _Account:
        with self._lock:
            found = self._accounts.get(tenant_id)
        if found is not None and 0 <= now_us - found.asked_us < KEPT_US:
            return found
        try:
            told = self._rate_of(tenant_id)
        except Unavailable:  # the rate that was known last holds until the ledger answers
            told = None if found is None else found.rate
        rate = self._usual if told is None else told
        with self._lock:
            kept = self._accounts.get(tenant_id)
            if kept is None:
                kept = _Account(rate, float(rate * BURST_S), now_us, now_us)
                self._accounts[tenant_id] = kept
            elif kept.rate != rate:
                kept.left = min(kept.left, float(rate * BURST_S)) if kept.rate else rate * BURST_S
            kept.rate, kept.asked_us = rate, now_us
        return kept


def rate_of(database: Database, scope: Scope) -> int | None:
    """Give the tenant's own rate in bytes a second (0 = no bound), None if it has none."""
    with database.app(scope) as tx:
        rows = select(tx, "quota_get")
    return int(str(rows[0]["bytes_s"])) if rows else None


def set_rate(database: Database, scope: Scope, bytes_s: int | None) -> None:
    """Give the tenant a rate of its own, 0 for no bound, None for the setting's; audited."""
    scope.require("tenants:write")
    if bytes_s is not None and not 0 <= bytes_s <= MOST_BYTES_S:
        raise InvalidInput(f"a quota is 0 (no bound) to {MOST_BYTES_S} bytes a second")
    with database.app(scope) as tx:
        if bytes_s is None:
            execute(tx, "quota_forget")
        else:
            execute(tx, "quota_put", bytes_s=bytes_s)
        write_audit(tx, scope, "tenant.quota", scope.tenant_id, detail={"bytes_s": bytes_s})
