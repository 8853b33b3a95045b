import pytest

from pipelines.parsing import parse_stream

DAY_US = 86_400_000_000
NEW_YEAR_2024_US = 1_704_067_200_000_000


@pytest.mark.parametrize(
    ("said", "ingested_us", "time"),
    [
        ("Dec 31 23:59:59", NEW_YEAR_2024_US + DAY_US, "2023-12-31T23:59:59+00:00"),
        ("Jan  1 00:00:01", NEW_YEAR_2024_US + DAY_US, "2024-01-01T00:00:01+00:00"),
        ("Feb 29 10:00:00", NEW_YEAR_2024_US, "2020-02-29T10:00:00+00:00"),
    ],
)
def test_year_left_out_is_the_latest_before_arrival(said: str, ingested_us: int, time: str) -> None:
    line = f"<38>{said} web1 sshd[1]: Invalid user oracle from 198.51.100.23".encode()
    ((batch, rejects),) = parse_stream(
        "syslog", [line], tenant_id="t", source="s", ingested_at_us=ingested_us
    )
    assert batch.frame["time"].item().isoformat() == time
    assert rejects == []
