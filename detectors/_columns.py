"""Read columns that may be absent, name people one way, tell inside from outside, bound tables."""

from typing import Any, Final

import polars as pl

from storage.schema import DetectorMeta, Finding, column_named, finding_id

LONGEST: Final = 512
"""Characters of a key that tell entities apart; more would make the state any size."""
DAY_US: Final = 86_400_000_000

_INSIDE: Final = (
    r"^(?:10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\."
    r"|f[cd][0-9a-f]{2}:)"
)
_NOWHERE: Final = (
    r"^(?:0\.|127\.|169\.254\.|2(?:2[4-9]|[34]\d|5[0-5])\.|fe[89ab][0-9a-f]:|ff[0-9a-f]{2}:|::1?$)"
)

_NOTHING: Final = ("new", "refused", "S0", "REJ", "RSTOS0", "RSTRH", "SH", "SHR")
"""States of such connections: the sensor's words and Suricata's, then Zeek's."""


def filled(frame: pl.DataFrame, *names: str) -> pl.DataFrame:
    """Give the frame with every named column, null where the batch has none of it."""
    absent = [n for n in names if n not in frame.columns]
    types = {n: known.dtype if (known := column_named(n)) else pl.String() for n in absent}
    return frame.with_columns(pl.lit(None, types[n]).alias(n) for n in absent)


def time_us() -> pl.Expr:
    """Give the event time, Int64 µs UTC."""
    return pl.col("time").cast(pl.Int64)


def account(*names: str) -> pl.Expr:
    r"""Give the first of these columns as an account, in the way of `canonical`.

    >>> pl.DataFrame({"u": ["CORP\\Ann", "ann@corp.example"]}).select(account("u"))["u"].to_list()
    ['ann', 'ann']
    """
    text = pl.coalesce(names).str.strip_chars().str.replace(r"^.*\\", "")
    bare = text.str.replace(r"@.*$", "").str.to_lowercase().str.slice(0, LONGEST)
    return pl.when(bare != "").then(bare)


def cut(name: str) -> pl.Expr:
    """Give a text column without blanks around it and not endless; '' becomes null."""
    text = pl.col(name).str.strip_chars().str.slice(0, LONGEST)
    return pl.when(text != "").then(text)


def is_inside(name: str) -> pl.Expr:
    """Tell whether an address is one of a house's own (private)."""
    return pl.col(name).str.to_lowercase().str.contains(_INSIDE).fill_null(value=False)


def is_outside(name: str) -> pl.Expr:
    """Tell whether an address is on the internet: neither private, nor local, nor multicast."""
    text = pl.col(name).str.to_lowercase()
    return (~text.str.contains(_INSIDE) & ~text.str.contains(_NOWHERE)).fill_null(value=False)


def came_to_nothing() -> pl.Expr:
    """Tell which connections were refused or never answered; false where nobody says."""
    failed = pl.col("connection_info.state").is_in(_NOTHING) | pl.col("activity_id").is_in([4, 5])
    return failed.fill_null(value=False)


def newest(table: pl.DataFrame, by: str, most: int) -> pl.DataFrame:
    """Keep the rows of at most `most` keys of each tenant, those seen last by column `by`."""
    if table.height <= most:
        return table
    last = table.group_by("tenant_id", "key").agg(pl.col(by).max().alias("_last"))
    if last.height <= most:
        return table
    kept = last.sort(["tenant_id", "_last", "key"], descending=[False, True, False]).filter(
        pl.int_range(pl.len()).over("tenant_id") < most
    )
    return table.join(kept.select("tenant_id", "key"), on=["tenant_id", "key"], how="semi")


def claim(meta: DetectorMeta, rule_id: str, tenant: str, group: str, **told: Any) -> Finding:  # noqa: ANN401  Finding's own fields
    """Make a claim of this detector with the id that a replay would give it too.

    `told`: title, level, time_us, entity_type, entity, event_ids, reasons, ... of `Finding`.
    """
    return Finding(
        finding_id=finding_id(tenant, meta.name, meta.version, rule_id, group),
        tenant_id=tenant,
        detector=meta.name,
        detector_version=meta.version,
        rule_id=rule_id,
        **told,
    )


def pairs(*items: tuple[str, object]) -> tuple[tuple[str, str], ...]:
    """Give the pairs that have a value, each once, as text: for `links` and `fields`."""
    return tuple(dict.fromkeys((kind, str(value)) for kind, value in items if value))
