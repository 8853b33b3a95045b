"""Read invoices, payments and vendor records as JSON (lines, array) or CSV with a header.

Columns (CSV header or JSON keys; further ones are kept under `unmapped.*`):

    type          invoice, payment or vendor
    action        create, update, delete, issue, approve, hold, release, pay, bank_change
                  (absent: by `status`, else create)
    invoice_id, payment_id, vendor_id, vendor_name, customer_id, customer_name
    amount        decimal number with a point, exact: no more digits than the currency has
    currency      ISO 4217
    issued_at     time (also: occurred_at, paid_at, time)
    created_by, approved_by, bank_account, status, version

Amounts are never rounded and never pass through a float in CSV; in JSON write them as text where
more than 15 digits matter. A record with a wrong amount, currency, type or without its id is
refused with the reason. CSV: comma or semicolon, quotes doubled, line breaks in quotes; bytes that
are not UTF-8 are refused. `position` is the number of the record, the header not counted.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

import polars as pl

from pipelines.parsers import Parsed, Reject
from pipelines.parsers._json import decode
from pipelines.parsers._json import split as split_json
from pipelines.parsers._lines import RAW_BYTES, blocks, utf8
from pipelines.parsers._text import MAX_ROWS, finish, parsed
from pipelines.parsers._time import parse_times
from storage.errors import InvalidBatch
from storage.schema import UNMAPPED, column_named

FORMAT: Final = "business_documents"
MAX_FIELDS: Final = 256
MAX_RECORD_LINES: Final = 1000

_KINDS: Final = {
    "invoice": (999001, "invoice_id"),
    "payment": (999002, "payment_id"),
    "vendor": (999003, "vendor_id"),
}
_ACTIVITIES: Final = {
    "create": 1, "draft": 1, "read": 2, "update": 3, "delete": 4, "issue": 5, "issued": 5,
    "approve": 6, "approved": 6, "hold": 7, "held": 7, "release": 8,
    "released": 8, "pay": 9, "paid": 9,
}  # fmt: skip
_ALLOWED: Final = {
    "invoice": {1, 2, 3, 4, 5, 6, 7},
    "payment": {1, 2, 3, 4, 6, 7, 8, 9},
    "vendor": {1, 2, 3, 4},
}
_ACTOR: Final = {6: "approved_by", 8: "approved_by"}
_TEXTS: Final = {
    "document.version": "version",
    "document.status": "status",
    "vendor.uid": "vendor_id",
    "vendor.name": "vendor_name",
    "vendor.bank_account": "bank_account",
    "customer.uid": "customer_id",
    "customer.name": "customer_name",
}
_TIMES: Final = ("occurred_at", "time", "paid_at", "issued_at")
_ASIDE: Final = "~aside."
_KNOWN: Final = (
    *("type", "action", "invoice_id", "payment_id", "vendor_id", "amount", "currency", "status"),
    *("created_by", "approved_by"),
)
# ISO 4217 list one, active codes, by number of minor digits.
_NO_DIGITS: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_TWO_DIGITS: Final = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD"
    " CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS"
    " GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP"
    " LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK"
    " NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS"
    " SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VES WST XCD"
    " YER ZAR ZMW ZWG"
)
_THREE_DIGITS: Final = "BHD IQD JOD KWD LYD OMR TND"
_DIGITS: Final[dict[str, int]] = (
    dict.fromkeys(_NO_DIGITS.split(), 0)
    | dict.fromkeys(_TWO_DIGITS.split(), 2)
    | dict.fromkeys(_THREE_DIGITS.split(), 3)
)
_CSV_HEAD: Final = re.compile(
    rb'^\s*"?(type|invoice_id|payment_id|vendor_id)"?\s*[,;]|[,;]"?(invoice_id|payment_id|vendor_id)"?\s*[,;\r\n]'
)


def matches(head: bytes) -> float:
    r"""Look for the id columns in a CSV header, or as JSON keys.

    >>> matches(b"type,invoice_id,vendor_id,amount\n")
    0.9
    """
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] in (b"{", b"["):
        ids = sum(f'"{name}"'.encode() in text for _, name in _KINDS.values())
        typed = any(
            re.search(rb'"type"\s*:\s*"%s"' % kind.encode(), text) is not None for kind in _KINDS
        )
        return 0.9 if ids and typed else 0.0
    first = text.split(b"\n", 1)[0] + b"\n"
    return 0.9 if _CSV_HEAD.search(first) else 0.0


def parse(chunks: Iterable[bytes]) -> Iterator[Parsed]:
    """Give one event a document; wrong documents become rejects with the reason."""
    is_json, stream = _peek(chunks)
    yield from _json_documents(stream) if is_json else _csv_documents(stream)


def _json_documents(stream: Iterable[bytes]) -> Iterator[Parsed]:
    for found in decode(stream):
        own = found.fields.rename({n: _aside(n) for n in found.fields.columns})
        fields = pl.concat([found.position.to_frame(), own], how="horizontal")
        names = own.columns
        # Only refused records show this text; the fields are as the record had them.
        text = pl.struct(names).struct.json_encode() if names else pl.lit("{}")
        raw = fields.select("position", text.alias("raw"))["raw"]
        rejects = list(found.rejects)
        yield parsed(_events(fields, raw, rejects), rejects)


def _csv_documents(stream: Iterable[bytes]) -> Iterator[Parsed]:
    for first, header, records in _csv_records(stream, MAX_ROWS):
        rejects: list[Reject] = []
        fields, raw = _csv_fields(first, header, records, rejects)
        yield parsed(_events(fields, raw, rejects), rejects)


def split(chunks: Iterable[bytes], max_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Cut into messages, each CSV one with the header: (number of the first record, bytes)."""
    is_json, stream = _peek(chunks)
    if is_json:
        yield from split_json(stream, max_bytes)
        return
    for first, header, records in _csv_records(stream, MAX_ROWS, max_bytes):
        yield first, b"\n".join([header, *records]) + b"\n"


def _peek(chunks: Iterable[bytes]) -> tuple[bool, Iterator[bytes]]:
    stream = utf8(chunks)
    head = b""
    for piece in stream:
        head += piece
        if len(head.lstrip()) > 1:
            break
    return head.lstrip()[:1] in (b"{", b"["), chain((head,), stream)


def _csv_records(
    stream: Iterable[bytes], max_rows: int, max_bytes: int = 8 << 20
) -> Iterator[tuple[int, bytes, list[bytes]]]:
    """Give (number of the first record, header, whole records); quotes may hold line breaks.

    A quote that does not close within 1,000 lines ends its record at its own line.
    """
    header, first = b"", 0
    records: list[bytes] = []
    size = 0
    for record in _whole_records(stream):
        if not header:
            header = record
            continue
        records.append(record)
        size += len(record)
        if len(records) >= max_rows or size >= max_bytes:
            yield first, header, records
            first, records, size = first + len(records), [], 0
    if records:
        yield first, header, records


def _whole_records(stream: Iterable[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    for block in blocks(stream, max_lines=MAX_ROWS, max_bytes=8 << 20):
        refused = {r.position - block.position: r.raw for r in block.rejects}
        lines = block.text.split(b"\n")[: block.lines]
        if b'"' not in block.text and not held and not refused:
            yield from (line.rstrip(b"\r") for line in lines if line.strip())
            continue
        for n, line in enumerate(lines):
            line = refused.get(n, line).rstrip(b"\r")
            if not held and not line.strip():
                continue
            held.append(line)
            if sum(part.count(b'"') for part in held[-1:]) % 2 == (0 if len(held) == 1 else 1):
                yield b"\n".join(held)
                held = []
            elif len(held) >= MAX_RECORD_LINES:
                yield from held
                held = []
    yield from held


def _csv_fields(
    first: int, header: bytes, records: list[bytes], rejects: list[Reject]
) -> tuple[pl.DataFrame, pl.Series]:
    """Lay records out in columns; refuse those that are no UTF-8 or have other fields."""
    delimiter = ";" if header.count(b";") > header.count(b",") else ","
    names = _row(header, delimiter)
    if isinstance(names, str) or len(names) > MAX_FIELDS or len(set(names)) != len(names):
        raise InvalidBatch("CSV header cannot be read or repeats a name", format=FORMAT, row=0)
    names = [_aside(name.strip()) for name in names]
    rows: list[list[str]] = []
    places: list[int] = []
    for n, record in enumerate(records, first):
        row = _row(record, delimiter)
        if isinstance(row, list) and len(row) == len(names):
            rows.append(row)
            places.append(n)
        else:
            reason = row if isinstance(row, str) else f"{len(row)} fields, header has {len(names)}"
            rejects.append(Reject(n, reason, record[:RAW_BYTES]))
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    empty = frame.select(pl.when(pl.all().str.strip_chars() != "").then(pl.all()))
    texts = [records[n - first].decode() for n in places]
    place = pl.Series("position", places, dtype=pl.Int64)
    return empty.insert_column(0, place), pl.Series("raw", texts, dtype=pl.String)


def _row(record: bytes, delimiter: str) -> list[str] | str:
    try:
        text = record.decode("utf-8")
        if "\0" in text:
            return "NUL byte"
        rows = list(csv.reader([text], delimiter=delimiter, strict=True))
    except UnicodeDecodeError:
        return "not UTF-8"
    except csv.Error as wrong:
        return f"not CSV: {wrong}"
    return rows[0] if len(rows) == 1 else "not one CSV record"


def _events(fields: pl.DataFrame, raw: pl.Series, rejects: list[Reject]) -> pl.DataFrame:
    has = set(fields.columns)
    absent = [pl.lit(None, pl.String).alias(name) for name in _KNOWN if name not in has]
    frame = fields.with_columns(*absent, raw.alias("~raw")).with_columns(
        pl.col("type").str.strip_chars().str.to_lowercase().alias("~kind"),
        pl.col("currency").str.strip_chars().str.to_uppercase().alias("~currency"),
    )
    kind = pl.col("~kind")
    said = pl.coalesce("action", "status").str.strip_chars().str.to_lowercase()
    by_word = said.replace_strict(_ACTIVITIES, default=1, return_dtype=pl.Int32)
    allowed = pl.any_horizontal(
        (kind == name) & by_word.is_in(sorted(ids)) for name, ids in _ALLOWED.items()
    )
    frame = frame.with_columns(
        pl.when((kind == "vendor") & (said == "bank_change"))
        .then(5)
        .when(allowed)
        .then(by_word)
        .otherwise(3)
        .alias("activity_id"),
        _uid(kind),
        _cents(),
    )
    frame = _refuse_wrong(frame, rejects)
    days = pl.col(n for n in _TIMES if n in frame.columns)
    whole = frame.select(days.str.replace(r"^(\d{4}-\d\d-\d\d)$", "${1}T00:00:00"))
    time = parse_times(whole.get_columns(), frame.height)
    named = [
        pl.col(n).alias(UNMAPPED + n.removeprefix(_ASIDE))
        for n in fields.columns
        if n != "position"
    ]
    actor = pl.col("activity_id").is_in(sorted(_ACTOR))
    frame = frame.with_columns(time).with_columns(
        *named,
        *(pl.col(n).alias(target) for target, n in _TEXTS.items() if n in frame.columns),
        kind.replace_strict({k: c for k, (c, _) in _KINDS.items()}, default=0).alias("class_uid"),
        kind.alias("document.type"),
        kind.alias("metadata.log_name"),
        said.alias("metadata.event_code"),
        pl.col("~currency").alias("currency"),
        pl.coalesce(pl.when(actor).then("approved_by"), "created_by", "approved_by").alias(
            "actor.user.name"
        ),
        # Whose document it is that another approves or releases: a rule holds the two together.
        pl.when(actor).then("created_by").alias("user.name"),
    )
    return finish(frame, FORMAT, "inopsio")


def _aside(name: str) -> str:
    """Rename a field that is called like a column of the house: it must not pass for that."""
    taken = name == "position" or name.startswith("~") or column_named(name) is not None
    return _ASIDE + name if taken and name not in _TIMES and name != "currency" else name


def _uid(kind: pl.Expr) -> pl.Expr:
    found = pl.lit(None, pl.String)
    for name, (_, column) in _KINDS.items():
        found = pl.coalesce(found, pl.when(kind == name).then(pl.col(column)))
    return found.alias("document.uid")


def _cents() -> pl.Expr:
    """Shift the decimal point by text: exact, or null where the amount is not one."""
    parts = (
        pl.col("amount").str.strip_chars().str.extract_groups(r"^([+-]?)(\d{1,15})(?:\.(\d+))?$")
    )
    digits = pl.col("~currency").replace_strict(_DIGITS, default=None, return_dtype=pl.Int32)
    fraction = parts.struct[2].fill_null("").str.strip_chars_end("0")
    fits = fraction.str.len_chars() <= digits
    whole = pl.concat_str(parts.struct[0], parts.struct[1], fraction.str.pad_end(3, "0"))
    thousandths = whole.cast(pl.Int64, strict=False)
    drop = digits.replace_strict({0: 1000, 2: 10, 3: 1}, default=None, return_dtype=pl.Int64)
    return pl.when(fits).then(thousandths // drop).alias("amount_cents")


def _refuse_wrong(frame: pl.DataFrame, rejects: list[Reject]) -> pl.DataFrame:
    """Move documents that cannot be booked as they stand to `rejects`, each with one reason."""
    kind, money = pl.col("~kind"), pl.col("~kind").is_in(["invoice", "payment"])
    known = pl.col("~currency").is_in(list(_DIGITS))

    def said(text: str, column: str) -> pl.Expr:
        return pl.concat_str(pl.lit(text), pl.col(column).fill_null("absent").str.slice(0, 40))

    reason = (
        pl.when(kind.is_null() | ~kind.is_in(list(_KINDS)))
        .then(said("type is not invoice, payment or vendor: ", "type"))
        .when(pl.col("document.uid").is_null())
        .then(pl.concat_str(kind, pl.lit("_id is absent")))
        .when(money & ~known.fill_null(value=False))
        .then(said("currency is not in ISO 4217: ", "currency"))
        .when((money | pl.col("amount").is_not_null()) & pl.col("amount_cents").is_null())
        .then(said("amount is no exact decimal number of its currency: ", "amount"))
    )
    frame = frame.with_columns(reason.alias("~reason"))
    bad = frame.filter(pl.col("~reason").is_not_null()).select("position", "~reason", "~raw")
    rejects += [
        Reject(p, r, raw.encode("utf-8", "replace")[:RAW_BYTES]) for p, r, raw in bad.rows()
    ]
    return frame.filter(pl.col("~reason").is_null())
