"""Know services on the internet: which name an address has, who uses them, which are bought."""

from typing import Final

import polars as pl

from detectors._columns import DAY_US, cut, newest

VENDOR: Final = 999003
CONTRACT: Final = 999006
DNS: Final = 4003
FLOWS: Final = frozenset({4001, 4002, 4014})
GONE: Final = (4, 5)
USERS: Final = 3
"""Addresses that must have used a service on earlier days: then it is one of the house's own."""
COVERED: Final[dict[str, pl.DataType]] = {
    **dict.fromkeys(("tenant_id", "key", "by"), pl.String()),
    "until_us": pl.Int64(),
    "last_us": pl.Int64(),
}
"""State table: `key` = document and the domain or word that it covers, `by` = that alone."""
NAMES: Final[dict[str, pl.DataType]] = {
    **dict.fromkeys(("tenant_id", "key", "domain"), pl.String()),
    "last_us": pl.Int64(),
}
"""State table: `key` = address, `domain` = the name that was last asked for it."""
USUAL: Final[dict[str, pl.DataType]] = {
    **dict.fromkeys(("tenant_id", "key", "src"), pl.String()),
    "first_d": pl.Int64(),
    "last_d": pl.Int64(),
}
"""State table: `key` = owner's domain, `src` = an address that used it."""

_OWN: Final = ["tenant_id", "key"]
_EVER: Final = 2**62
_SHARED: Final = ("co", "com", "org", "net", "gov", "ac", "edu")


def owner_of(name: str) -> pl.Expr:
    """Give the part of a domain that its owner registered.

    >>> f = pl.DataFrame({"d": ["api.eu.box.com", "x.shop.co.uk", "notes"]})
    >>> f.select(owner_of("d"))["d"].to_list()
    ['box.com', 'shop.co.uk', 'notes']
    """
    labels = pl.col(name).str.strip_chars_end(".").str.to_lowercase().str.split(".")
    shared = labels.list.get(-2, null_on_oob=True).is_in(list(_SHARED)) & (
        labels.list.get(-1, null_on_oob=True).str.len_chars() == 2
    )
    return (
        pl.when(shared.fill_null(value=False))
        .then(labels.list.tail(3))
        .otherwise(labels.list.tail(2))
        .list.join(".")
        .alias(name)
    )


def bought(frame: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Give what contracts and vendors cover, from before the batch (`row` -1) and within it."""
    texts = pl.concat_str(
        [pl.col(f"unmapped.{n}").fill_null("") for n in ("domains", "domain", "service")],
        separator=";",
    )
    word = cut("vendor.name").str.to_lowercase().str.extract(r"([a-z0-9]{4,})")
    ends = pl.col("unmapped.ends_at").str.to_datetime(
        "%+", time_unit="us", time_zone="UTC", strict=False
    )
    gone = pl.col("activity_id").is_in(GONE) & (
        (pl.col("class_uid") == CONTRACT) | (pl.col("activity_id") == 4)
    )
    fresh = (
        frame.filter(pl.col("class_uid").is_in([VENDOR, CONTRACT]))
        .select(
            "tenant_id",
            "row",
            document=pl.coalesce(cut("document.uid"), "event_id"),
            by=pl.concat_list(
                texts.str.slice(0, 4096).str.to_lowercase().str.split(";"), word.fill_null("")
            ),
            until_us=pl.when(gone)
            .then(pl.col("time_us"))
            .otherwise(ends.cast(pl.Int64).fill_null(_EVER)),
            last_us="time_us",
        )
        .explode("by")
        .with_columns(by=pl.col("by").str.strip_chars())
        .filter(pl.col("by") != "")
        .with_columns(key=pl.concat_str("document", "by", separator="\x1f").str.slice(0, 512))
    )
    before = table.with_columns(row=pl.lit(-1, pl.Int64()))
    if fresh.is_empty():
        return before
    return pl.concat([before, fresh.select(before.columns)]).unique(
        _OWN, keep="last", maintain_order=True
    )


def uncovered(acts: pl.DataFrame, covered: pl.DataFrame) -> pl.DataFrame:
    """Give the acts whose service nothing in the books names; add `subjects`, what it goes by.

    A contract or a vendor's record covers from the day it is entered, whatever its own begin.
    """
    labels = pl.col("domain").str.split(".")
    owner = pl.col("owner")
    acts = acts.with_columns(owner_of("domain").alias("owner")).with_columns(
        subjects=pl.concat_list(
            "domain", owner, labels.list.tail(3).list.join("."), owner.str.split(".").list.first()
        )
    )
    if acts.is_empty():
        return acts
    met = (
        acts.select("tenant_id", "row", "time_us", by="subjects")
        .explode("by")
        .join(covered.select("tenant_id", "by", "until_us", told="row"), on=["tenant_id", "by"])
        .filter((pl.col("told") < pl.col("row")) & (pl.col("until_us") > pl.col("time_us")))
    )
    return acts.join(met.select("tenant_id", "row"), on=["tenant_id", "row"], how="anti").sort(
        "row", maintain_order=True
    )


def names_told(frame: pl.DataFrame) -> pl.DataFrame:
    """Give the names that were asked for addresses: `NAMES` and `row`."""
    return (
        frame.filter((pl.col("class_uid") == DNS) & pl.col("answers").is_not_null())
        .select(
            *("tenant_id", "row"),
            key=pl.col("answers").str.slice(0, 2048).str.split("; ").list.head(16),
            domain=pl.col("query.hostname").str.strip_chars_end(".").str.to_lowercase(),
            last_us="time_us",
        )
        .explode("key")
        .with_columns(pl.col("key").str.strip_chars().str.to_lowercase().str.slice(0, 64))
        .filter(pl.col("key").str.contains(r"^[0-9a-f.:]+$"))
        .drop_nulls("domain")
    )


def owners(table: pl.DataFrame, fresh: pl.DataFrame, most: int) -> pl.DataFrame:
    """Give each address's last name."""
    if fresh.is_empty():
        return table
    every = pl.concat([table, fresh.select(table.columns)])
    last = every.unique(_OWN, keep="last", maintain_order=True)
    return newest(last, "last_us", most).sort(_OWN)


def named(rows: pl.DataFrame, table: pl.DataFrame, fresh: pl.DataFrame) -> pl.DataFrame:
    """Add `domain` to a few connections: what they say themselves, else what was asked for it."""
    every = pl.concat(
        [table.with_columns(row=pl.lit(-1, pl.Int64())), fresh.select(*table.columns, "row")]
    ).select("tenant_id", dst="key", asked="domain", told="row")
    found = (
        rows.select("tenant_id", "row", "dst")
        .join(every, on=["tenant_id", "dst"])
        .filter(pl.col("told") < pl.col("row"))
        .sort("told", maintain_order=True)
        .unique("row", keep="last", maintain_order=True)
        .select("row", "asked")
    )
    return (
        rows.join(found, on="row", how="left", maintain_order="left")
        .with_columns(domain=pl.coalesce(pl.col("said").str.to_lowercase(), "asked"))
        .drop_nulls("domain")
    )


def used_by(frame: pl.DataFrame, table: pl.DataFrame, most: int) -> pl.DataFrame:
    """Learn which addresses use which service, the first few of each."""
    fresh = (
        frame.filter(pl.col("class_uid").is_in([*FLOWS, DNS]))
        .select(
            "tenant_id",
            key=pl.coalesce(
                "tls.sni", "http_request.url.hostname", "dst_endpoint.hostname", "query.hostname"
            ),
            src=pl.coalesce("src", "device.ip"),
            first_d=pl.col("time_us").floordiv(DAY_US),
            last_d=pl.col("time_us").floordiv(DAY_US),
        )
        .drop_nulls(["key", "src"])
        .with_columns(owner_of("key").str.slice(0, 255))
        .unique(maintain_order=True)
    )
    if fresh.is_empty():
        return table
    kept = (
        pl.concat([table, fresh.select(table.columns)])
        .group_by("tenant_id", "key", "src")
        .agg(pl.col("first_d").min(), pl.col("last_d").max())
        .sort("tenant_id", "key", "first_d", "src")
        .filter(pl.int_range(pl.len()).over(_OWN) < USERS)
        .select(table.columns)
    )
    return newest(kept, "last_d", most)


def unusual(acts: pl.DataFrame, usual: pl.DataFrame) -> pl.DataFrame:
    """Give the acts whose service was not in use by several in the house on earlier days."""
    if acts.is_empty() or usual.is_empty():
        return acts
    known = (
        acts.select(
            "tenant_id",
            "row",
            owner_of("domain").alias("key"),
            day=pl.col("time_us").floordiv(DAY_US),
        )
        .join(usual, on=_OWN)
        .filter(pl.col("first_d") < pl.col("day"))
        .group_by("tenant_id", "row")
        .agg(users=pl.col("src").n_unique())
        .filter(pl.col("users") >= USERS)
    )
    return acts.join(known, on=["tenant_id", "row"], how="anti").sort("row", maintain_order=True)
