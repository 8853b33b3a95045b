"""Claim events that name what a feed calls hostile: an address, a domain, a mail address, a hash.

An indicator counts while it is valid, by the event's time. A domain is met by its subdomains too,
an address also by its network, IPv4 or IPv6. Told once a day for each entity and indicator.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from detectors._columns import account, claim, cut, filled, pairs, time_us
from detectors._daily import DAILY, once_a_day
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State
from storage.schema.finding import Level
from storage.schema.indicator import Known

MOST: Final = 256
"""Indicators told of one entity in a day."""
SURE: Final = 75
"""Confidence from which a match is high; below `LIKELY` it is a signal."""
LIKELY: Final = 50
MOST_LABELS: Final = 6
"""Labels of a domain, from its end, that are looked up."""
META: Final = DetectorMeta(
    name="indicators",
    version="1",
    title="Met what a feed calls hostile",
    tables={"told": {**DAILY, "value": pl.String()}},
    max_keys=20_000,
    bytes_per_key=160,
)

_URL: Final = "http_request.url.path"
_HOST: Final = "http_request.url.hostname"
_PLACES: Final = {
    "ip": ("src_endpoint.ip", "dst_endpoint.ip", "device.ip"),
    "domain": (
        *("query.hostname", "dst_endpoint.hostname", "src_endpoint.hostname", "tls.sni"),
        _HOST,
    ),
    "hash": ("process.file.hashes", "file.hashes"),
    "email": ("email.from",),
    "url": (_URL,),
}
_KINDS: Final = {
    **dict.fromkeys(("ipv4", "ipv6", "cidr"), "ip"),
    **dict.fromkeys(("md5", "sha1", "sha256"), "hash"),
}
_MAPPED: Final = r"^::ffff:(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})$"
"""An IPv4 address in the words of IPv6."""
_DIGEST: Final = r"\b(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{40}|[0-9a-fA-F]{32})\b"
_WHO: Final = ("device.hostname", "user.name", "actor.user.name")
READS: Final = (*(name for names in _PLACES.values() for name in names), *_WHO, _HOST)
"""Columns beside the envelope that it looks at."""


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Join what the events name with each tenant's indicators; tell the first of a day."""
    known = {tenant: k for tenant, k in context.indicators.items() if k.frame.height}
    if not known:
        return state, []
    forms = _forms(batch.frame, list(known.values()))
    named = [v for v in forms["value"].unique().to_list() if any(v in k for k in known.values())]
    if not named:
        return state, []
    met = _met(batch.frame, forms.filter(pl.col("value").is_in(named)), known, named)
    if met.is_empty():
        return state, []
    fresh, table = once_a_day(state["told"], met, "value", MOST, META.max_keys)
    return {"told": table}, [_claim(row) for row in fresh.iter_rows(named=True)]


_FORM: Final = {"field": pl.String(), "kind": pl.String(), "given": pl.String()}
_FORMS: Final = {**_FORM, "value": pl.String()}


def _forms(frame: pl.DataFrame, known: Sequence[Known]) -> pl.DataFrame:
    """Give each distinct value that the events name in every form that an indicator may have.

    `given`: as the event writes it, lower case; `value`: as indicators are compared. What is named
    by a thousand events is looked up once.
    """
    parts = [pl.DataFrame(schema=_FORMS)]
    for kind, names in _PLACES.items():
        for name in names:
            if name in frame.columns:
                distinct = frame.select(given=_given(name)).unique().drop_nulls()
                own = distinct.select(field=pl.lit(name), kind=pl.lit(kind), given="given")
                parts += _spelled(own, kind, known)
    return pl.concat([part.select(list(_FORMS)) for part in parts]).filter(pl.col("value") != "")


def _given(name: str) -> pl.Expr:
    text = pl.col(name).str.strip_chars().str.slice(0, 2048)
    if name == _URL:  # the path alone names nothing
        return pl.col(_HOST).str.to_lowercase() + text
    return text.str.to_lowercase()


def _spelled(own: pl.DataFrame, kind: str, known: Sequence[Known]) -> list[pl.DataFrame]:
    given = pl.col("given")
    if kind == "domain":
        labels = given.str.strip_chars_end(".").str.split(".")
        return [
            own.filter(labels.list.len() >= n).with_columns(
                value=labels.list.tail(n).list.join(".")
            )
            for n in range(2, MOST_LABELS + 1)
        ]
    if kind == "hash":
        return [own.with_columns(value=given.str.extract_all(_DIGEST)).explode("value")]
    if kind == "email":
        bare = given.str.extract(r"([^\s<>]+@[^\s<>]+)", 1)
        host = bare.str.extract(r"@(.+)$", 1)
        told = [own.with_columns(value=bare), own.with_columns(value=host, kind=pl.lit("domain"))]
        return [part.drop_nulls("value") for part in told]
    if kind == "ip":
        prefixes = frozenset().union(*(k.prefixes for k in known))
        plain = own.with_columns(value=given.str.replace(_MAPPED, "$1"))
        return [plain, *_networks(plain, prefixes), *_wide(own, known)]
    return [own.with_columns(value=pl.lit(f"{scheme}://") + given) for scheme in ("http", "https")]


def _networks(own: pl.DataFrame, prefixes: frozenset[int]) -> list[pl.DataFrame]:
    """Give the IPv4 networks of these lengths that each address lies in, as `10.0.0.0/8`."""
    octets = pl.col("value").str.extract_groups(r"^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$")
    number = sum(
        octets.struct.field(str(n)).cast(pl.Int64, strict=False) * 256 ** (4 - n)
        for n in range(1, 5)
    )
    numbers = own.with_columns(number=number).drop_nulls("number") if prefixes else own.clear()
    told = []
    for length in sorted(prefixes):
        base = pl.col("number") // 2 ** (32 - length) * 2 ** (32 - length)
        dotted = pl.concat_str(
            [(base // 256 ** (3 - n) % 256).cast(pl.String) for n in range(4)], separator="."
        )
        told.append(numbers.with_columns(value=dotted + f"/{length}"))
    return told


def _wide(own: pl.DataFrame, known: Sequence[Known]) -> list[pl.DataFrame]:
    """Give IPv6 addresses in their one spelling, and the networks that they lie in.

    One by one: text has many spellings of one address. Distinct ones only, and only where a tenant
    has indicators of that kind.
    """
    wide = [k.wide for k in known if k.wide]
    if not wide and not any(k.has_ipv6 for k in known):
        return []
    told: list[tuple[str, str]] = []
    for given in own.filter(pl.col("given").str.contains(":", literal=True))["given"]:
        try:
            address = ipaddress.IPv6Address(given.strip("[]").partition("%")[0])
        except ValueError:
            continue
        told.append((given, str(address)))
        number = int(address)
        for lengths in wide:
            nets = (some.get(number >> (128 - length)) for length, some in lengths.items())
            told += [(given, value) for value in nets if value]
    schema = {"given": pl.String(), "value": pl.String()}
    named = pl.DataFrame(told, schema=schema, orient="row").unique(maintain_order=True)
    return [own.join(named, on="given", maintain_order="left")]


def _met(
    frame: pl.DataFrame, forms: pl.DataFrame, known: Mapping[str, Known], named: Sequence[str]
) -> pl.DataFrame:
    """Give the matches while valid, the surest indicator of each, in the order of the events."""
    hostile = pl.concat(
        k.frame.filter(pl.col("value").is_in(named)).with_columns(tenant_id=pl.lit(tenant))
        for tenant, k in known.items()
    ).with_columns(kind=pl.col("type").replace_strict(_KINDS, default=pl.col("type")))
    until = pl.col("valid_until_us").fill_null(2**62)
    return (
        pl.concat(_rows(frame, forms, str(name)) for name in forms["field"].unique())
        .join(hostile, on=["tenant_id", "kind", "value"])
        .filter((pl.col("valid_from_us") <= pl.col("time_us")) & (pl.col("time_us") < until))
        .with_columns(
            key=pl.coalesce("host", "user", "given"), day=pl.col("time_us") // 86_400_000_000
        )
        .sort(
            ["place", "value", "confidence", "feed", "field"],
            descending=[False, False, True, False, False],
        )
    )


def _rows(frame: pl.DataFrame, forms: pl.DataFrame, name: str) -> pl.DataFrame:
    """Give the events whose field has one of the forms."""
    mine = forms.filter(pl.col("field") == name)
    return (
        filled(frame, *_WHO)
        .select(
            "tenant_id",
            "event_id",
            place=pl.int_range(pl.len()),
            host=cut("device.hostname"),
            user=account("user.name", "actor.user.name"),
            time_us=time_us(),
            given=_given(name),
        )
        .join(mine, on="given")
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
