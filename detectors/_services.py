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
    "first_us": pl.Int64(),
    "until_us": pl.Int64(),
}
"""State table: `key` = document and the domain or word that it covers, `by` = that alone."""
NAMES: Final[dict[str, pl.DataType]] = {
    **dict.fromkeys(("tenant_id", "key", "domain"), pl.String()),
    "first_us": pl.Int64(),
}
"""State table: `key` = who asked and the address answered, `domain` = the name asked."""
NAMED: Final = 4
"""Names kept of one address for one who asked."""
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


def bought(frame: pl.DataFrame, table: pl.DataFrame, most: int) -> pl.DataFrame:
    """Give `COVERED` with what contracts and vendors cover, and until when."""
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
            document=pl.coalesce(cut("document.uid"), "event_id"),
            by=pl.concat_list(
                texts.str.slice(0, 4096).str.to_lowercase().str.split(";"), word.fill_null("")
            ),
            until_us=pl.when(gone)
            .then(pl.col("time_us"))
            .otherwise(ends.cast(pl.Int64).fill_null(_EVER)),
            first_us="time_us",
        )
        .explode("by")
        .with_columns(by=pl.col("by").str.strip_chars())
        .filter(pl.col("by") != "")
        .with_columns(key=pl.concat_str("document", "by", separator="\x1f").str.slice(0, 512))
    )
    if fresh.is_empty():
        return table
    merged = (
        pl.concat([table, fresh.select(table.columns)])
        .group_by(_OWN, maintain_order=True)
        .agg(pl.col("by").first(), pl.col("first_us").min(), pl.col("until_us").min())
    )
    return newest(merged.select(table.columns), "first_us", most).sort(_OWN)


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
    numbered = acts.with_row_index("act_no")
    met = (
        numbered.select("tenant_id", "act_no", "time_us", by="subjects")
        .explode("by")
        .join(covered, on=["tenant_id", "by"])
        .filter(pl.col("time_us").is_between("first_us", "until_us", closed="left"))
    )
    left = numbered.join(met.select("act_no").unique(), on="act_no", how="anti")
    return left.sort("act_no").drop("act_no")


def names_told(frame: pl.DataFrame, table: pl.DataFrame, most: int) -> pl.DataFrame:
    """Give `NAMES` with the names that machines asked for addresses, from when on."""
    fresh = (
        frame.filter((pl.col("class_uid") == DNS) & pl.col("answers").is_not_null())
        .select(
            "tenant_id",
            asker=pl.coalesce("src", "device.ip"),
            answer=pl.col("answers").str.slice(0, 2048).str.split("; ").list.head(16),
            domain=pl.col("query.hostname").str.strip_chars_end(".").str.to_lowercase(),
            first_us="time_us",
        )
        .explode("answer")
        .with_columns(pl.col("answer").str.strip_chars().str.to_lowercase().str.slice(0, 64))
        .filter(pl.col("answer").str.contains(r"^[0-9a-f.:]+$"))
        .with_columns(key=pl.concat_str("asker", "answer", separator="\x1f").str.slice(0, 200))
        .drop_nulls(["key", "domain"])
        .select(table.columns)
        .unique([*_OWN, "domain"], keep="first", maintain_order=True)
        .join(table, on=[*_OWN, "domain"], how="anti", maintain_order="left")
    )
    if fresh.is_empty():
        return table
    few = (
        pl.concat([table, fresh])
        .sort([*_OWN, "first_us", "domain"])
        .filter(pl.int_range(pl.len(), 0, -1).over(_OWN) <= NAMED)
    )
    return newest(few, "first_us", most)


def named(rows: pl.DataFrame, names: pl.DataFrame, late_us: int) -> pl.DataFrame:
    """Add `domain`: what a connection says itself, else the name its machine asked for last."""
    found = (
        rows.select(
            "tenant_id",
            "event_id",
            "time_us",
            key=pl.concat_str("src", "dst", separator="\x1f").str.slice(0, 200),
        )
        .join(names, on=_OWN)
        .filter(pl.col("first_us") <= pl.col("time_us") + late_us)
        .sort("first_us", "domain")
        .unique(["tenant_id", "event_id"], keep="last", maintain_order=True)
        .select("tenant_id", "event_id", asked="domain")
    )
    return (
        rows.join(found, on=["tenant_id", "event_id"], how="left", maintain_order="left")
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
            "event_id",
            owner_of("domain").alias("key"),
            day=pl.col("time_us").floordiv(DAY_US),
        )
        .join(usual, on=_OWN)
        .filter(pl.col("first_d") < pl.col("day"))
        .group_by("tenant_id", "event_id")
        .agg(users=pl.col("src").n_unique())
        .filter(pl.col("users") >= USERS)
    )
    return acts.join(known, on=["tenant_id", "event_id"], how="anti", maintain_order="left")
