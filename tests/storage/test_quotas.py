"""A tenant's rate is kept on average, whatever the sizes; changes count; others are untouched."""

from contextlib import suppress

import pytest

from storage.database import Database
from storage.errors import InvalidInput, NotAllowed, Overloaded, Unavailable
from storage.quotas import KEPT_US, Quotas, rate_of, set_rate
from storage.tenant import Actor, Role, Scope

SECOND = 1_000_000


def sent_in(quotas: Quotas, seconds: int, size: int, tenant: str = "acme") -> int:
    """Send as much as is let through, ten times a second; give the bytes."""
    passed = 0
    for at in range(0, seconds * SECOND, SECOND // 10):
        with suppress(Overloaded):
            quotas.take(tenant, size, at)
            passed += size
    return passed


@pytest.mark.parametrize("size", [2_000, 5_000, 200_000])
def test_average_rate_is_kept_for_small_and_for_huge_requests(size: int) -> None:
    passed = sent_in(Quotas(lambda _: None, 10_000), 100, size)
    assert 0.9 * 1_000_000 - size <= passed <= 1_100_000 + size


def test_no_bound_is_no_bound_and_own_rates_come_first() -> None:
    rates = {"acme": 10, "free": 0}
    quotas = Quotas(rates.get, 1_000)
    assert sent_in(quotas, 10, 10**6, "free") == 10**6 * 100
    assert sent_in(quotas, 10, 10) == 200
    assert sent_in(quotas, 10, 1_000, "other") == 20_000


def test_a_changed_rate_counts_after_ten_seconds() -> None:
    rates = {"acme": 10}
    quotas = Quotas(rates.get, 0)
    quotas.take("acme", 10_000, 0)
    rates["acme"] = 0
    with pytest.raises(Overloaded) as refused:
        quotas.take("acme", 1, SECOND)
    assert refused.value.retry_after_s > 900
    quotas.take("acme", 10**9, KEPT_US)


def test_the_last_rate_holds_while_the_ledger_is_down() -> None:
    rates = iter([10])

    def rate_of_(tenant_id: str) -> int:
        for rate in rates:
            return rate
        raise Unavailable(tenant_id)

    quotas = Quotas(rate_of_, 0)
    quotas.take("acme", 1_000, 0)
    with pytest.raises(Overloaded):
        quotas.take("acme", 1, KEPT_US)


def test_set_rate_is_the_tenants_own_and_audited(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    acme, bolt = two_tenants
    set_rate(database, acme, 5)
    set_rate(database, acme, 7)
    assert (rate_of(database, acme), rate_of(database, bolt)) == (7, None)
    set_rate(database, acme, None)
    assert rate_of(database, acme) is None
    with database.app(acme) as tx:
        told = tx.execute(b"SELECT detail->'bytes_s' FROM audit_entries ORDER BY at").fetchall()
    assert [row[0] for row in told] == [5, 7, None]


def test_a_quota_that_is_none_or_not_allowed_is_refused(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    with pytest.raises(InvalidInput, match="0 \\(no bound\\)"):
        set_rate(database, two_tenants[0], -1)
    analyst = Scope("acme", Actor("user", "bob"), frozenset({Role.ANALYST}))
    with pytest.raises(NotAllowed):
        set_rate(database, analyst, 1)
