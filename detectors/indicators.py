"""Claim events that name what a feed calls hostile: an address, a domain, a mail address, a hash.

An indicator counts while it is valid, by the event's time. A domain is met by its subdomains too,
an address also by its network. Told once a day for each entity and indicator.
"""

from typing import Any, Final

import polars as pl

from detectors._columns import account, claim, cut, filled, pairs, time_us
from detectors._daily import DAILY, once_a_day
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State
from storage.schema.finding import Level

MOST: Final = 256
"""Indicators told of one entity in a day."""
SURE: Final = 75
"""Confidence from which a match is high; below `LIKELY` it is a signal."""
LIKELY: Final = 50
MOST_LABELS: Final = 6
"""Labels of a domain, from its end, that are looked up."""
PREFIXES: Final = (24, 23, 22, 21, 20, 19, 18, 17, 16, 12, 8)
"""Lengths of IPv4 networks that are looked up."""

META: Final = DetectorMeta(
    name="indicators",
    version="1",
    title="Met what a feed calls hostile",
    tables={"told": {**DAILY, "value": pl.String()}},
    max_keys=20_000,
    bytes_per_key=160,
)

_PLACES: Final = {
    "ip": ("src_endpoint.ip", "dst_endpoint.ip", "device.ip"),
    "domain": (
        *("query.hostname", "dst_endpoint.hostname", "src_endpoint.hostname", "tls.sni"),
        "http_request.url.hostname",
    ),
    "hash": ("process.file.hashes", "file.hashes"),
    "email": ("email.from",),
    "url": ("http_request.url.path",),
}
_COLUMNS: Final = tuple(name for names in _PLACES.values() for name in names)
_DIGEST: Final = r"\b(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{40}|[0-9a-fA-F]{32})\b"
_WHO: Final = ("device.hostname", "user.name", "actor.user.name")


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Join what the events name with each tenant's indicators; tell the first of a day."""
    if not context.indicators:
        return state, []
    known = [
        frame.with_columns(tenant_id=pl.lit(tenant))
        for tenant, frame in context.indicators.items()
        if frame.height
    ]
    seen = _seen(batch.frame)
    if not known or seen.is_empty():
        return state, []
    met = _met(seen, pl.concat(known))
    if met.is_empty():
        return state, []
    fresh, table = once_a_day(state["told"], met, "value", MOST, META.max_keys)
    return {"told": table}, [_claim(row) for row in fresh.iter_rows(named=True)]


def _seen(frame: pl.DataFrame) -> pl.DataFrame:
    """Give every value that an event names, in the form in which indicators are compared."""
    held = [name for name in _COLUMNS if name in frame.columns]
    if not held:
        return pl.DataFrame()
    rows = filled(frame, *_WHO, "http_request.url.hostname").select(
        "tenant_id",
        "event_id",
        *held,
        asked=pl.col("http_request.url.hostname").str.to_lowercase(),
        place=pl.int_range(pl.len()),
        host=cut("device.hostname"),
        user=account("user.name", "actor.user.name"),
        time_us=time_us(),
    )
    parts = [
        part
        for kind, names in _PLACES.items()
        for name in names
        if name in held
        for part in _values(rows, kind, name)
    ]
    return pl.concat(parts).filter(pl.col("value") != "") if parts else pl.DataFrame()


def _values(rows: pl.DataFrame, kind: str, name: str) -> list[pl.DataFrame]:
    own = ("tenant_id", "event_id", "place", "host", "user", "time_us")
    text = pl.col(name).str.strip_chars().str.to_lowercase().str.slice(0, 2048)
    given = rows.filter(pl.col(name).is_not_null()).with_columns(
        given=text, field=pl.lit(name), kind=pl.lit(kind)
    )
    if given.is_empty():
        return []
    out = [*own, "kind", "field", "given", "value"]
    if kind == "domain":
        labels = pl.col("given").str.strip_chars_end(".").str.split(".")
        ends = [labels.list.tail(count).list.join(".") for count in range(2, MOST_LABELS + 1)]
        return [
            given.with_columns(value=end).filter(labels.list.len() >= count).select(out)
            for count, end in enumerate(ends, 2)
        ]
    if kind == "hash":
        found = given.with_columns(value=pl.col("given").str.extract_all(_DIGEST))
        return [found.explode("value").drop_nulls("value").select(out)]
    if kind == "email":
        bare = pl.col("given").str.extract(r"([^\s<>]+@[^\s<>]+)", 1)
        host = bare.str.extract(r"@(.+)$", 1)
        return [
            given.with_columns(value=bare).drop_nulls("value").select(out),
            given.with_columns(value=host, kind=pl.lit("domain")).drop_nulls("value").select(out),
        ]
    if kind == "ip":
        return [given.with_columns(value=pl.col("given")).select(out), *_networks(given, out)]
    whole = pl.col("asked") + pl.col(name).str.strip_chars().str.slice(0, 2048)
    return [
        given.with_columns(value=pl.lit(f"{scheme}://") + whole, given=whole)
        .drop_nulls("value")
        .select(out)
        for scheme in ("http", "https")
    ]


def _networks(given: pl.DataFrame, out: list[str]) -> list[pl.DataFrame]:
    """Give the IPv4 networks that each address lies in, as `10.0.0.0/8`."""
    octets = pl.col("given").str.extract_groups(r"^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$")
    numbers = given.with_columns(
        number=sum(
            octets.struct.field(str(n)).cast(pl.Int64, strict=False) * 256 ** (4 - n)
            for n in range(1, 5)
        )
    ).drop_nulls("number")
    told = []
    for length in PREFIXES:
        base = pl.col("number") // 2 ** (32 - length) * 2 ** (32 - length)
        dotted = pl.concat_str(
            [(base // 256 ** (3 - n) % 256).cast(pl.String) for n in range(4)], separator="."
        )
        told.append(numbers.with_columns(value=dotted + f"/{length}").select(out))
    return told


def _met(seen: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Give the matches while valid, the surest indicator of each, in the order of the events."""
    kinds = pl.col("type").replace_strict(
        {
            **dict.fromkeys(("ipv4", "ipv6", "cidr"), "ip"),
            **dict.fromkeys(("md5", "sha1", "sha256"), "hash"),
        },
        default=pl.col("type"),
    )
    until = pl.col("valid_until_us").fill_null(2**62)
    return (
        seen.join(
            known.with_columns(kind=kinds), on=["tenant_id", "kind", "value"], maintain_order="left"
        )
        .filter((pl.col("valid_from_us") <= pl.col("time_us")) & (pl.col("time_us") < until))
        .with_columns(
            key=pl.coalesce("host", "user", "given"),
            day=pl.col("time_us") // 86_400_000_000,
        )
        .sort(["place", "value", "confidence", "feed"], descending=[False, False, True, False])
    )


def _claim(row: dict[str, Any]) -> Finding:
    kind, entity = (
        ("host", row["host"])
        if row["host"]
        else ("user", row["user"])
        if row["user"]
        else _own(row)
    )
    confidence = int(row["confidence"])
    level: Level = "high" if confidence >= SURE else "medium"
    joining = {"ip": "ip", "domain": "domain", "hash": "hash", "email": "user"}.get(row["kind"], "")
    return claim(
        META,
        META.name,
        row["tenant_id"],
        f"{row['key']}|{row['value']}|{row['day']}",
        title=f"{entity} met {row['value'][:120]}, which {row['feed']} calls hostile",
        level=level,
        kind="finding" if confidence >= LIKELY else "signal",
        time_us=int(row["time_us"]),
        entity_type=kind,
        entity=entity,
        event_ids=(row["event_id"],),
        reasons=(
            Reason("indicator", row["value"], f"{row['type']} in {row['field']}: {row['given']}"),
            Reason("feed", row["feed"], f"confidence {confidence} of 100"),
        ),
        links=pairs((joining, row["given"] if joining != "hash" else row["value"]))
        if joining
        else (),
        fields=pairs((row["field"], row["given"])),
    )


def _own(row: dict[str, Any]) -> tuple[str, str]:
    kinds = {"ip": "ip", "domain": "domain", "hash": "hash", "email": "user"}
    return kinds.get(row["kind"], "event"), row["given"] if row["kind"] in kinds else row[
        "event_id"
    ]
