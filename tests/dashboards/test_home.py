"""Home and Live tell freshness by arrival: logs older than the clock are no reason for alarm."""

import pytest

from storage.tenant import Role
from tests.dashboards.conftest import House

OLD = "now() - interval '47 hours 5 minutes'"


@pytest.fixture
def lagging(filled: House) -> House:
    """Give a house in which events of two days ago arrive at this moment."""
    with filled.database.writer() as tx:
        for step in (10, 60):
            tx.execute(
                "INSERT INTO source_rates VALUES ('acme', 'wec', %s, date_bin("
                f"make_interval(secs => %s), now(), 'epoch'), 120, {OLD})",
                (step, step),
            )
    return filled


def test_figures_count_what_arrived_and_the_first_day_is_compared_with_nothing(
    lagging: House,
) -> None:
    shown = lagging.open(lagging.person(lagging.acme, "p", Role.ADMIN), "/")
    assert '"120"' in shown
    assert "first day" not in shown
    assert "more" not in shown.partition("Events today")[2].partition("Needs you")[0]
    assert "Events are 47 h behind the clock" in shown
    assert "1 of 1" in shown


@pytest.mark.parametrize("is_long_known", [False, True])
def test_a_day_is_compared_once_the_day_before_was_watched_whole(
    lagging: House, is_long_known: bool
) -> None:
    if is_long_known:
        with lagging.database.writer() as tx:
            tx.execute(
                "INSERT INTO source_rates SELECT tenant_id, source, bucket_s,"
                " bucket - n * interval '30 hours', 60, newest FROM source_rates,"
                " generate_series(1, 2) AS n WHERE bucket_s = 60"
            )
    shown = lagging.open(lagging.person(lagging.acme, "p", Role.ADMIN), "/")
    assert ("+100 % more" in shown) == is_long_known


def test_a_source_that_sends_old_events_is_not_stale_on_live(lagging: House) -> None:
    shown = lagging.open(lagging.person(lagging.acme, "p", Role.ADMIN), "/live")
    assert "all are sending" in shown
    assert "stale" not in shown
    assert "Events are 47 h behind the clock" in shown
