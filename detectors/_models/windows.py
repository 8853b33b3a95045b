"""Put events into windows of hosts, addresses and people, as counts and bitmaps that merge."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._columns import account, filled
from detectors._models.features import (
    Places,
    in_groups,
    places_of,
    schema_of,
    words_at,
    words_of,
)
from detectors._models.seldom import FOREIGN, LONE
from detectors._models.spans import AMONG_ALL, COUNTS, SPANS, THINGS, Span

LONGEST_KEY: Final = 512
SPLIT: Final = "\x1f"
"""Between the kind of an entity and its name, in a key."""
_READ: Final = (
    *("device.hostname", "src_endpoint.ip", "actor.user.name", "user.name", "status_id"),
    *("traffic.bytes_out", "traffic.bytes_in", "process.file.path", "dst_endpoint.ip"),
    *("query.hostname", "document.uid", "record_count", "activity_id", "customer.uid"),
    *("email.from", "email.to", "api.operation"),
)
_ALWAYS: Final = ("tenant_id", "event_id", "time", "class_uid", "is_late")
_MOST: Final = 2**50
_MAIL: Final = 4009
_CALL: Final = 6003
_SENDS: Final = ("Send", "SendAs", "SendOnBehalf")
"""Operations of a mailbox's audit log that send a mail."""
_HOSTS: Final = (1001, 1005, 1006, 1007, 3001, 3002, 3006, 4001, 4002, 4003, 201001, 201002)
_PEOPLE: Final = (1007, 3002, 999001, 999002, 999003, 999004, 999011, 999012, 999013, 999014)
_BITMAPS: Final = [column for name in (*THINGS, *AMONG_ALL) for column in words_of(name)]
_AMONG: Final = {f"lone_{n}": n for n in LONE} | {f"foreign_{n}": n for n in FOREIGN}
PLACE: Final = ["tenant_id", "key", "end_us"]
OPEN: Final[Mapping[str, pl.DataType]] = {
    "tenant_id": pl.String(),
    "key": pl.String(),
    "end_us": pl.Int64(),
    "first_event": pl.String(),
    **schema_of(list(COUNTS), [*THINGS, *AMONG_ALL]),
}
"""Columns of the state table of open windows. A key: kind/span, `SPLIT`, name."""


def named(frame: pl.DataFrame) -> pl.DataFrame:
    """Give the rows that count (those late do not), with what was read, `host` and `person`."""
    rows = filled(frame, *_READ).select(*_ALWAYS, *_READ).filter(~pl.col("is_late"))
    rows = rows.with_columns(host=_host(), person=_person())
    rows = rows.filter(pl.col("host").is_not_null() | pl.col("person").is_not_null())
    reached = pl.col("dst_endpoint.ip")
    return rows.with_columns(
        programs=pl.col("process.file.path").str.to_lowercase(),
        peers=reached,
        # A person reaches the host that they sign in to.
        reached=pl.coalesce(pl.col("device.hostname").str.to_lowercase(), reached),
        names=pl.col("query.hostname").str.to_lowercase(),
        documents=pl.col("document.uid"),
        customers=pl.col("customer.uid"),
    )


def added(open_: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Give the open windows with the rows of `named` and `seldom.marked` in them."""
    if rows.is_empty():
        return open_
    counted = rows.select(
        "tenant_id", "host", "person", "event_id", *_counts(), start_us=_start_us()
    )
    places = _places(rows)
    short = pl.concat([_minutes(counted, places, who) for who in ("host", "person")])
    fresh = pl.concat([_in_span(short, span) for span in SPANS]).select(open_.columns)
    old = open_.join(fresh, on=PLACE, how="semi")
    rest = open_.join(old, on=PLACE, how="anti")
    return pl.concat([rest, _merged(pl.concat([old, fresh])).select(open_.columns)])


def _start_us() -> pl.Expr:
    return pl.col("time").cast(pl.Int64).floordiv(SPANS[0].length_us) * SPANS[0].length_us


def _minutes(counted: pl.DataFrame, places: Mapping[str, Places], who: str) -> pl.DataFrame:
    """Give new windows of the shortest span, of hosts or of people; `key` = kind, SPLIT, name."""
    is_there = counted[who].is_not_null()
    kept = np.flatnonzero(is_there.to_numpy())
    mine = counted.filter(is_there).with_columns(key=who)
    first = pl.col("event_id").first().alias("first_event")
    told, order, begins = in_groups(mine, ["tenant_id", "key", "start_us"], first)
    group = np.empty(mine.height, np.int64)
    group[order] = np.repeat(np.arange(told.height), np.diff([*begins, mine.height]))
    columns = [pl.Series(name, _summed(mine[name], order, begins)) for name in COUNTS]
    for name in (*THINGS, *AMONG_ALL):
        own = f"{name}_{who}"
        bits = places[own if own in places else name]
        words = words_at(bits[kept], group, told.height)
        columns += [pl.Series(c, words[:, n]) for n, c in enumerate(words_of(name))]
    return told.with_columns(columns)


def _summed(what: pl.Series, order: Places, begins: Places) -> npt.NDArray[np.int64]:
    values = what.to_numpy()
    if not values.any():
        return np.zeros(len(begins), np.int64)
    return np.add.reduceat(values[order].astype(np.int64), begins)


def _in_span(short: pl.DataFrame, span: Span) -> pl.DataFrame:
    """Give windows of the shortest span as pieces of those of another."""
    end = (pl.col("start_us").floordiv(span.length_us) + 1) * span.length_us
    key = pl.col("key").str.replace(SPLIT, f"/{span.name}{SPLIT}", literal=True)
    return short.with_columns(key=key, end_us=end)


def _merged(windows: pl.DataFrame) -> pl.DataFrame:
    """Put pieces of the same window together."""
    sums = (pl.col(name).sum() for name in COUNTS)
    first = pl.col("first_event").first()
    told, order, begins = in_groups(windows, PLACE, first, *sums)
    if told.is_empty():
        return windows.clear()
    # Polars would take the OR group by group: ten times as slow.
    words = np.bitwise_or.reduceat(windows.select(_BITMAPS).to_numpy()[order], begins, axis=0)
    return told.with_columns(pl.Series(name, words[:, n]) for n, name in enumerate(_BITMAPS))


def _host() -> pl.Expr:
    """Give the key of a host, by address where a sensor knows no name."""
    name = pl.col("device.hostname").str.strip_chars().str.to_lowercase()
    is_name = name.str.contains(r"[^0-9.:]") & ~name.str.contains(":", literal=True)
    host = pl.lit(f"host{SPLIT}") + name.str.split(".").list.first().str.slice(0, LONGEST_KEY)
    address = pl.when(is_name).then(None).otherwise(pl.coalesce(name, "src_endpoint.ip"))
    ip = pl.lit(f"ip{SPLIT}") + address.str.to_lowercase().str.slice(0, LONGEST_KEY)
    key = pl.when(is_name & (name != "")).then(host).when(address != "").then(ip)
    return pl.when(pl.col("class_uid").is_in(_HOSTS)).then(key)


def _person() -> pl.Expr:
    """Give the key of a person; who sends a mail is its sender, where nobody else is named."""
    name = account("actor.user.name", "user.name")
    sender = pl.coalesce(name, account("email.from"))
    is_person = ~name.str.ends_with("$") & ~name.is_in(["system", "local service", "root", "-"])
    key = pl.when(is_person).then(pl.lit(f"user{SPLIT}") + name)
    sent = pl.when(is_person.fill_null(value=True)).then(pl.lit(f"user{SPLIT}") + sender)
    return (
        pl.when(pl.col("class_uid").is_in(_PEOPLE) | _is_call())
        .then(key)
        .when(_is_sent())
        .then(sent)
    )


def _is(uid: int, *activities: int) -> pl.Expr:
    same = pl.col("class_uid") == uid
    return same & pl.col("activity_id").is_in(activities) if activities else same


def _is_call() -> pl.Expr:
    return (_is(_CALL) & pl.col("api.operation").is_in(_SENDS)).fill_null(value=False)


def _is_sent() -> pl.Expr:
    return _is(_MAIL, 1).fill_null(value=False)


def _counts() -> list[pl.Expr]:
    """Give what each row adds to the counts of its windows."""

    def many(what: pl.Expr) -> pl.Expr:
        return what.fill_null(value=False)

    def total(amount: pl.Expr) -> pl.Expr:
        return amount.cast(pl.Int64).fill_null(0).clip(0, _MOST)

    failed = (pl.col("status_id") == 2).fill_null(value=False)
    approved = _is(999001, 6) | _is(999002, 6)
    maker = account("user.name")
    mail = _is_sent() | _is_call()
    listed = pl.col("email.to").str.count_matches(";", literal=True) + 1
    told = {
        "events": pl.lit(value=True),
        "process_starts": many(_is(1007, 1)),
        "sign_ins": many(_is(3002, 1) & ~failed),
        "sign_in_failures": many(_is(3002) & failed),
        "connections": many(_is(4001)),
        "dns_queries": many(_is(4003)),
        "bytes_out": total(pl.col("traffic.bytes_out")),
        "bytes_in": total(pl.col("traffic.bytes_in")),
        "file_changes": many(_is(1001, 1, 3, 4, 5)),
        "records_exported": total(pl.when(~_is_sent()).then("record_count")),
        "price_changes": many(_is(999004, 5)),
        "discounts": many(_is(999013, 6)),
        "bank_changes": many(_is(999003, 5)),
        "approvals": many(approved),
        "self_approvals": many(approved & (account("actor.user.name") == maker)),
        "mails_sent": many(mail & ~failed),
        "recipients": total(pl.when(mail).then(pl.coalesce("record_count", listed, 1))),
        "bounces": many(mail & failed),
    }
    return [expression.alias(name) for name, expression in told.items()]


def _places(rows: pl.DataFrame) -> dict[str, Places]:
    """Give the bit of each row in each bitmap; where people have others, `NAME_person`."""
    places = {name: places_of(rows[name]) for name in (*THINGS, "customers")}
    people = {"peers": places_of(rows["reached"])}
    for name, of in _AMONG.items():
        is_so = rows[name].to_numpy()
        if of in people:
            people[name] = np.where(is_so, people[of], -1)
        places[name] = np.where(is_so, places[of], -1)
    return places | {f"{name}_person": told for name, told in people.items()}
