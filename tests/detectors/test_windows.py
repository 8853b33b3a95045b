"""See what is counted of whom in windows of a minute, a quarter of an hour and a day."""

from typing import Any

import polars as pl
import pytest

from detectors._models.features import how_many
from detectors._models.seldom import SELDOM, marked
from detectors._models.spans import AMONG_ALL, THINGS
from detectors._models.windows import OPEN, added, named
from tests.detectors.streams import MINUTE_US, START_US, frame_of

DAY_US = 86_400_000_000
BEGIN_US = START_US // DAY_US * DAY_US


def event(minute: float, class_uid: int, activity: int = 1, **more: str | float) -> dict[str, Any]:
    """Give an event so many minutes into the day; `__` stands for the dots of a column."""
    told = {name.replace("__", "."): value for name, value in more.items()}
    time_us = BEGIN_US + int(minute * MINUTE_US)
    base = {"tenant_id": "acme", "time_us": time_us, "class_uid": class_uid}
    return base | {"activity_id": activity} | told


def windows(*rows: dict[str, Any]) -> pl.DataFrame:
    """Give the open windows after these rows."""
    frame = frame_of(sorted(rows, key=lambda row: int(row["time_us"])))
    _, seen = marked(pl.DataFrame(schema=SELDOM), named(frame))
    return added(pl.DataFrame(schema=OPEN), seen)


def only(table: pl.DataFrame, key: str, span: str) -> dict[str, Any]:
    """Give the one window of an entity ('user:ann') in a span, bitmaps as numbers of things."""
    kind, name = key.split(":")
    (row,) = table.filter(pl.col("key") == f"{kind}/{span}\x1f{name}").iter_rows(named=True)
    mine = pl.DataFrame([row], schema=table.schema)
    things = (*THINGS, *AMONG_ALL)
    bits = {n: mine.select(pl.col(f"^{n}_[0-3]$")).to_numpy() for n in things}
    return row | {name: round(float(how_many(words)[0])) for name, words in bits.items()}


ANN = {"actor__user__name": "ann"}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (event(1, 999013, 6, **ANN), {"discounts": 1}),
        (event(1, 999004, 5, **ANN), {"price_changes": 1}),
        (event(1, 999003, 5, **ANN), {"bank_changes": 1}),
        (event(1, 999002, 6, **ANN, user__name="bob"), {"approvals": 1, "self_approvals": 0}),
        (event(1, 999001, 6, **ANN, user__name="CORP\\Ann"), {"approvals": 1, "self_approvals": 1}),
        (event(1, 999014, 1, **ANN, record_count=70), {"records_exported": 70}),
        (
            event(1, 4009, 1, email__from="Ann@acme.example", email__to="a@b.c; d@e.f"),
            {"mails_sent": 1, "recipients": 2, "bounces": 0, "records_exported": 0},
        ),
        (
            event(1, 4009, 1, **ANN, email__to="a@b.c", record_count=9_000),
            {"mails_sent": 1, "recipients": 9_000, "records_exported": 0},
        ),
        (event(1, 4009, 1, **ANN, status_id=2), {"mails_sent": 0, "bounces": 1, "recipients": 1}),
        (event(1, 6003, 1, **ANN, api__operation="SendAs"), {"mails_sent": 1, "recipients": 1}),
        (event(1, 999011, 2, **ANN, customer__uid="C-1"), {"customers": 1}),
        (event(1, 3002, 1, user__name="ann", status_id=2), {"sign_in_failures": 1}),
    ],
)
def test_what_a_person_does_is_counted_under_its_name(
    row: dict[str, Any], told: dict[str, int]
) -> None:
    found = only(windows(row), "user:ann", "quarter")
    assert {name: found[name] for name in told} == told


@pytest.mark.parametrize(
    "row",
    [
        event(1, 4009, 2, email__from="ann@acme.example", email__to="bob@acme.example"),
        event(1, 6003, 1, **ANN, api__operation="MailItemsAccessed"),
        event(1, 1007, 1, actor__user__name="SYSTEM"),
    ],
)
def test_a_mail_received_or_read_and_a_machine_account_are_nobodys_deed(
    row: dict[str, Any],
) -> None:
    assert windows(row).filter(pl.col("key").str.starts_with("user")).is_empty()


def test_each_event_counts_in_a_minute_a_quarter_and_a_day() -> None:
    reached = [
        event(minute, 4001, 6, device__hostname="PC1.acme.example", dst_endpoint__ip=f"9.9.9.{n}")
        for n, minute in enumerate((1, 1.5, 7, 20, 700))
    ]
    table = windows(*reached)
    ends = {
        span: table.filter(pl.col("key") == f"host/{span}\x1fpc1")
        .sort("end_us")
        .select((pl.col("end_us") - BEGIN_US) // MINUTE_US, "connections", pl.col("first_event"))
        for span in ("minute", "quarter", "day")
    }
    assert ends["minute"].select("end_us", "connections").rows() == [
        (2, 2),
        (8, 1),
        (21, 1),
        (701, 1),
    ]
    assert ends["quarter"].select("end_us", "connections").rows() == [(15, 3), (30, 1), (705, 1)]
    assert ends["day"].select("end_us", "connections").rows() == [(1440, 5)]
    assert only(table, "host:pc1", "day")["peers"] == 5
    assert ends["day"]["first_event"][0] == ends["minute"]["first_event"][0]


def test_customers_of_others_are_told_from_ones_own() -> None:
    rows = [
        event(1, 999013, 5, actor__user__name="bob", customer__uid="C-1"),
        event(2, 999013, 5, actor__user__name="bob", customer__uid="C-2"),
        event(3, 999013, 5, **ANN, customer__uid="C-3"),
        event(20, 999011, 2, **ANN, customer__uid="C-1"),
        event(21, 999011, 2, **ANN, customer__uid="C-2"),
        event(22, 999011, 2, **ANN, customer__uid="C-3"),
        event(23, 999011, 2, **ANN, customer__uid="C-1"),
    ]
    found = only(windows(*rows), "user:ann", "day")
    assert (found["customers"], found["foreign_customers"]) == (3, 2)


def test_a_program_that_nobody_else_runs_is_told_from_one_that_others_run() -> None:
    def start(minute: int, host: str, path: str) -> dict[str, Any]:
        return event(minute, 1007, 1, device__hostname=host, process__file__path=path)

    rows = [start(1, "pc1", "/bin/sh"), start(2, "pc2", "/bin/sh"), start(3, "pc2", "/tmp/x")]
    table = windows(*rows, start(4, "pc2", "/TMP/X"))
    assert only(table, "host:pc2", "day")["lone_programs"] == 1
    assert only(table, "host:pc2", "day")["programs"] == 2


def test_windows_are_the_same_however_the_rows_come() -> None:
    rows = [
        event(n / 3, 4001, 6, device__hostname=f"pc{n % 3}", dst_endpoint__ip=f"9.9.9.{n % 40}")
        for n in range(200)
    ]
    frame = frame_of(rows)
    whole = added(pl.DataFrame(schema=OPEN), marked(pl.DataFrame(schema=SELDOM), named(frame))[1])
    table, seldom = pl.DataFrame(schema=OPEN), pl.DataFrame(schema=SELDOM)
    for begin, count in ((0, 1), (1, 66), (67, 133)):
        seldom, seen = marked(seldom, named(frame.slice(begin, count)))
        table = added(table, seen)
    assert table.sort("key", "end_us").equals(whole.sort("key", "end_us"))
