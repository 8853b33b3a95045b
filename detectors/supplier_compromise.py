"""Claim a vendor whose domain a feed calls hostile while invoices or payments are open with it.

Looked at with every fact of business of the tenant, by the fact's time: the indicator may come
before the document or after it. An indicator that has ended is none, nor is one of another domain
that only looks alike. Told once for each vendor and indicator; a grave one holds its payments.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from detectors._columns import DAY_US, claim, cut, filled, newest, pairs, time_us
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State
from storage.schema.finding import Level
from storage.schema.indicator import Known

INVOICE: Final = 999001
PAYMENT: Final = 999002
VENDOR: Final = 999003
OPEN_DAYS: Final = 90
"""A document of which nothing was heard for so long is open no more."""
MOST_OPEN: Final = 50
"""Open documents of a vendor that are remembered, those heard of last."""
MOST_HOSTILE: Final = 200
"""Vendors of a tenant that are looked at closely in one batch."""
MOST_LABELS: Final = 6
SURE: Final = 75
LIKELY: Final = 50
_NAMED: Final = 10
"""Documents that a claim names."""
_OPEN_US: Final = OPEN_DAYS * DAY_US
_CLOSING: Final = {INVOICE: frozenset({4}), PAYMENT: frozenset({4, 9})}
_TEXT: Final = pl.String()
_OWN: Final = {"tenant_id": _TEXT, "key": _TEXT}

META: Final = DetectorMeta(
    name="supplier_compromise",
    version="1",
    title="Vendor whose domain a feed calls hostile",
    classes=frozenset({INVOICE, PAYMENT, VENDOR}),
    tables={
        "vendors": {**_OWN, "name": _TEXT, "domain": _TEXT, "event": _TEXT, "last_us": pl.Int64()},
        "open": {
            **_OWN,
            "class_uid": pl.Int64(),
            "document": _TEXT,
            "cents": pl.Int64(),
            "currency": _TEXT,
            "event": _TEXT,
            "last_us": pl.Int64(),
        },
        "told": {**_OWN, "value": _TEXT, "last_us": pl.Int64()},
    },
    max_keys=20_000,
    bytes_per_key=2_000,
)
_DOMAIN: Final = r"^[a-z0-9_](?:[a-z0-9_.-]{0,251})?\.[a-z0-9-]{2,63}$"


@dataclass(frozen=True, slots=True)
class _Document:
    """An open invoice or payment."""

    class_uid: int
    uid: str
    cents: int | None
    currency: str
    event: str
    last_us: int


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Follow vendors and what is open with them; tell those that an indicator names."""
    rows = _facts(batch.frame)
    if rows.is_empty():
        return state, []
    vendors = _vendors(state["vendors"], rows)
    found: list[Finding] = []
    told = state["told"]
    for tenant in rows["tenant_id"].unique(maintain_order=True):
        known = context.indicators.get(tenant)
        if known is not None and known.frame.height:
            mine = [table.filter(pl.col("tenant_id") == tenant) for table in (vendors, told)]
            hostile = _hostile(mine[0], rows.filter(pl.col("tenant_id") == tenant), known)
            if hostile:
                claims = list(_claims(tenant, state, rows, hostile, mine[1]))
                found += [finding for finding, _ in claims]
                told = pl.concat([told, *(row for _, row in claims)])
    after = {
        "vendors": newest(vendors, "last_us", META.max_keys).sort("tenant_id", "key"),
        "open": _open(state["open"], rows),
        "told": newest(told, "last_us", META.max_keys).sort("tenant_id", "key", "value"),
    }
    return {n: state[n] if after[n].equals(state[n]) else after[n] for n in after}, found


def _facts(frame: pl.DataFrame) -> pl.DataFrame:
    """Give facts about vendors, in the stream's order."""
    frame = filled(
        frame,
        *("vendor.uid", "vendor.name", "document.uid", "amount_cents", "currency"),
        *("unmapped.domain", "unmapped.vendor_domain", "unmapped.website"),
        *("unmapped.mail", "unmapped.email", "unmapped.invoice_uid"),
    )
    address = pl.coalesce(cut("unmapped.mail"), cut("unmapped.email"))
    mail = address.str.extract(r"@([^@\s>]+)>?$", 1)
    site = cut("unmapped.website").str.extract(r"^(?:[a-z]+://)?([^/:@\s]+)", 1)
    is_vendor = pl.col("class_uid") == VENDOR
    own = pl.when(is_vendor).then(pl.coalesce(cut("unmapped.domain"), site, mail))
    spoken = pl.coalesce(cut("unmapped.vendor_domain"), own)
    domain = spoken.str.to_lowercase().str.strip_chars_end(".")
    return frame.filter(pl.col("class_uid").is_in([INVOICE, PAYMENT, VENDOR])).select(
        "tenant_id",
        pl.col("class_uid").cast(pl.Int64),
        "activity_id",
        key=cut("vendor.uid"),
        name=cut("vendor.name"),
        domain=pl.when(domain.str.contains(_DOMAIN)).then(domain),
        document=cut("document.uid"),
        invoice=cut("unmapped.invoice_uid"),
        cents=pl.col("amount_cents"),
        currency=cut("currency"),
        event="event_id",
        last_us=time_us(),
    )


def _vendors(before: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Give each vendor's last domain, and the fact that said it."""
    fresh = rows.filter(pl.col("domain").is_not_null() & pl.col("key").is_not_null())
    every = pl.concat([before, fresh.select(before.columns)])
    return every.unique(["tenant_id", "key"], keep="last", maintain_order=True)


def _open(before: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Give what is open after the rows: begun or gone on, neither closed nor silent for long."""
    one = ["tenant_id", "class_uid", "document"]
    is_document = pl.col("document").is_not_null() & (pl.col("class_uid") != VENDOR)
    told = rows.filter(pl.col("key").is_not_null()).with_row_index("row")
    documents = told.filter(is_document)
    closed = documents.filter(_is_closed()).select(*one, "row")
    settled = told.filter((pl.col("class_uid") == PAYMENT) & (pl.col("activity_id") == 9)).select(
        "tenant_id", pl.lit(INVOICE, pl.Int64()).alias("class_uid"), document="invoice", row="row"
    )
    ends = pl.concat([closed, settled.drop_nulls()]).group_by(one).agg(end=pl.col("row").max())
    columns = ["row", *before.columns]
    every = pl.concat(
        [
            before.with_columns(row=pl.lit(None, pl.UInt32())).select(columns),
            documents.select(columns),
        ]
    ).join(ends, on=one, how="left", maintain_order="left")
    # Null, the state before, comes before every row: what ended is gone, whatever it was.
    lasting = pl.col("end").is_null() | (pl.col("row") > pl.col("end"))
    last = (
        every.filter(lasting.fill_null(value=False))
        .group_by(one, maintain_order=True)
        .agg(
            pl.col("key").last(),
            *(pl.col(n).drop_nulls().last() for n in ("cents", "currency")),
            pl.col("event").first(),
            pl.col("last_us").max(),
        )
    )
    few = (
        last.filter(pl.col("last_us") >= pl.col("last_us").max().over("tenant_id") - _OPEN_US)
        .select(before.columns)
        .sort("tenant_id", "key", "last_us", "class_uid", "document")
        .filter(pl.int_range(pl.len()).reverse().over("tenant_id", "key") < MOST_OPEN)
    )
    return newest(few, "last_us", META.max_keys).sort("tenant_id", "key", "class_uid", "document")


def _is_closed() -> pl.Expr:
    return pl.any_horizontal(
        (pl.col("class_uid") == kind) & pl.col("activity_id").is_in(sorted(activities))
        for kind, activities in _CLOSING.items()
    )


def _hostile(
    vendors: pl.DataFrame, rows: pl.DataFrame, known: Known
) -> dict[str, list[dict[str, Any]]]:
    """Give domain -> the indicators that name it or a domain above it, of all vendors' domains."""
    domains = pl.concat([vendors["domain"], rows["domain"]]).drop_nulls().unique().sort()
    above = {domain: _above(domain) for domain in domains}
    named = {d: [v for v in values if v in known] for d, values in above.items()}
    named = {d: values for d, values in list(named.items()) if values}
    if not named:
        return {}
    wanted = sorted({value for values in named.values() for value in values})
    frame = known.frame.filter((pl.col("type") == "domain") & pl.col("value").is_in(wanted)).sort(
        ["value", "confidence", "feed"], descending=[False, True, False]
    )
    of: dict[str, list[dict[str, Any]]] = {}
    for row in frame.iter_rows(named=True):
        of.setdefault(row["value"], []).append(row)
    found = {d: [row for v in values for row in of.get(v, ())] for d, values in named.items()}
    return dict([(d, told) for d, told in found.items() if told][:MOST_HOSTILE])


def _above(domain: str) -> list[str]:
    labels = domain.split(".")[-MOST_LABELS:]
    return [".".join(labels[-n:]) for n in range(2, len(labels) + 1)]


def _claims(
    tenant: str,
    state: State,
    rows: pl.DataFrame,
    hostile: Mapping[str, list[dict[str, Any]]],
    told: pl.DataFrame,
) -> Iterator[tuple[Finding, pl.DataFrame]]:
    """Go through the tenant's facts one by one: rare, only where a vendor's domain is named."""
    own = pl.col("tenant_id") == tenant
    vendors = {r["key"]: r for r in state["vendors"].filter(own).iter_rows(named=True)}
    ledger: dict[str, dict[tuple[int, str], _Document]] = {}
    for row in state["open"].filter(own).iter_rows(named=True):
        _note(ledger, row)
    known = set(told.select("key", "value").iter_rows())
    for row in rows.filter(own & pl.col("key").is_not_null()).iter_rows(named=True):
        if row["domain"]:
            vendors[row["key"]] = row
        _note(ledger, row)
        for uid, vendor in vendors.items():
            for one in hostile.get(vendor["domain"], ()):
                documents = _standing(ledger.get(uid, {}), row["last_us"])
                is_new = (uid, one["value"]) not in known
                if not (is_new and documents and _holds(one, row["last_us"])):
                    continue
                known.add((uid, one["value"]))
                name = vendor["name"] or uid
                yield (
                    _claim(tenant, vendor | {"name": name}, one, documents, row["last_us"]),
                    pl.DataFrame(
                        [(tenant, uid, one["value"], row["last_us"])], told.schema, orient="row"
                    ),
                )


def _note(ledger: dict[str, dict[tuple[int, str], _Document]], row: Mapping[str, Any]) -> None:
    """Write down what a fact says of a document."""
    kind, uid = row["class_uid"], row["document"]
    if kind == VENDOR or uid is None:
        return
    mine = ledger.setdefault(row["key"], {})
    activity = row.get("activity_id")
    if activity in _CLOSING[kind]:
        mine.pop((kind, uid), None)
        if kind == PAYMENT and activity == 9 and row.get("invoice"):
            mine.pop((INVOICE, row["invoice"]), None)
        return
    before = mine.get((kind, uid))
    mine[kind, uid] = _Document(
        kind,
        uid,
        row["cents"] if row["cents"] is not None or before is None else before.cents,
        row["currency"] or (before.currency if before else ""),
        before.event if before else row["event"],
        max(row["last_us"], before.last_us if before else 0),
    )
    if len(mine) > MOST_OPEN:
        del mine[min(mine, key=lambda place: (mine[place].last_us, place))]


def _standing(ledger: Mapping[tuple[int, str], _Document], now_us: int) -> list[_Document]:
    return sorted(
        (d for d in ledger.values() if d.last_us >= now_us - _OPEN_US),
        key=lambda d: (d.class_uid, d.uid),
    )


def _holds(one: Mapping[str, Any], now_us: int) -> bool:
    until = one["valid_until_us"]
    return one["valid_from_us"] <= now_us and (until is None or now_us < until)


def _claim(
    tenant: str,
    vendor: Mapping[str, Any],
    one: Mapping[str, Any],
    documents: list[_Document],
    now_us: int,
) -> Finding:
    confidence, feed, value = int(one["confidence"]), str(one["feed"]), str(one["value"])
    level: Level = "high" if confidence >= SURE else "medium"
    shown = documents[:_NAMED]
    return claim(
        META,
        META.name,
        tenant,
        "\x1f".join((vendor["key"], value)),
        title=f"{vendor['name']} is owed or about to be paid, and {feed} calls {value} hostile",
        level=level,
        kind="finding" if confidence >= LIKELY else "signal",
        time_us=now_us,
        entity_type="vendor",
        entity=vendor["key"],
        event_ids=tuple(dict.fromkeys((vendor["event"], *(d.event for d in shown)))),
        event_count=1 + len(documents),
        reasons=(
            Reason("indicator", value, f"{feed}, confidence {confidence} of 100"),
            Reason("vendor's domain", vendor["domain"], "named by no feed"),
            Reason("open", _open_words(documents), "nothing, until the vendor is heard"),
        ),
        attack=("T1199", "T1195"),
        links=pairs(("domain", vendor["domain"]), *(("document", d.uid) for d in shown)),
        fields=pairs(("vendor.uid", vendor["key"]), ("vendor.name", vendor["name"])),
    )


def _open_words(documents: list[_Document]) -> str:
    sums: dict[str, int] = {}
    for one in documents:
        if one.cents is not None:
            sums[one.currency] = sums.get(one.currency, 0) + one.cents
    amounts = " + ".join(
        f"{cents / 100:,.2f} {name}".strip() for name, cents in sorted(sums.items())
    )
    kinds = [sum(d.class_uid == kind for d in documents) for kind in (INVOICE, PAYMENT)]
    return f"{kinds[0]} invoices, {kinds[1]} payments" + (f": {amounts}" if amounts else "")
