"""Claim a vendor that is paid to an employee's own account and whose invoice one hand let through.

A side business that somebody else confirmed as declared is none. Order of facts does not matter:
the vendor may be known before the employee's account or after it.
"""

from typing import Any, Final

import polars as pl

from detectors._columns import account, claim, cut, filled, newest, pairs, time_us
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State, finding_id

INVOICE: Final = 999001
PAYMENT: Final = 999002
VENDOR: Final = 999003
PERSON: Final = 999005
MINUTES: Final = 60
"""Two accounts on one device within so long are taken for one hand."""


def _table(*names: str) -> dict[str, pl.DataType]:
    texts: dict[str, pl.DataType] = {n: pl.String() for n in ("tenant_id", "key", *names)}
    return {**texts, "last_us": pl.Int64()}


META: Final = DetectorMeta(
    name="ghost_vendor",
    version="1",
    title="Vendor with an employee's bank account",
    classes=frozenset({INVOICE, PAYMENT, VENDOR, PERSON}),
    tables={
        "people": _table("person", "person_event"),
        "vendors": _table("vendor", "vendor_name", "maker", "vendor_event"),
        "declared": _table(),
        "invoices": _table("creator", "device", "created_event"),
    },
    max_keys=50_000,
    bytes_per_key=700,
)

MOST_SHARING: Final = 20
"""Vendors remembered that are paid to one account."""

SHARED: Final = "ghost_vendor.shared_account"
_OWN: Final = ["tenant_id", "key"]
_BEFORE: Final = -1
"""Row number of what stood in an earlier batch."""


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Match accounts, then look at what the matched vendors' documents go through."""
    del context
    if batch.frame.is_empty():
        return state, []
    frame = _facts(batch.frame)
    people = _joined(state["people"], _people(frame), _OWN)
    vendors = _joined(state["vendors"], _vendors(frame), [*_OWN, "vendor"])
    declared = _joined(state["declared"], _declared(frame), _OWN)
    invoices = _joined(state["invoices"], _invoices(frame), _OWN)
    matches = _matches(vendors, people, declared)
    documents = _documents(frame, matches, invoices)
    fresh = matches.filter(pl.col("row") >= 0)
    found = [_match_claim(row) for row in fresh.iter_rows(named=True)]
    found += [_document_claim(row) for row in documents.iter_rows(named=True)]
    after = {
        "people": _kept(people),
        "vendors": _kept(vendors),
        "declared": _kept(declared),
        "invoices": _kept(invoices),
    }
    # An unchanged table stays the same object: nothing is written for it.
    same = {n: state[n] if after[n].equals(state[n]) else after[n] for n in after}
    return same, found


def _facts(frame: pl.DataFrame) -> pl.DataFrame:
    frame = filled(
        frame,
        *("vendor.uid", "vendor.name", "vendor.bank_account", "person.bank_account"),
        *("person.name", "person.uid", "user.name", "actor.user.name", "device.uid"),
        *("document.uid", "unmapped.confirmed_by", "unmapped.confirmation"),
    )
    return frame.with_columns(
        row=pl.int_range(pl.len(), dtype=pl.Int64),
        last_us=time_us(),
        actor=account("actor.user.name"),
        owner=account("user.name"),
    )


def _bank(name: str) -> pl.Expr:
    text = pl.col(name).str.replace_all(r"[\s\-.]", "").str.to_uppercase().str.slice(0, 64)
    return pl.when(text.str.len_chars() >= 5).then(text)


def _people(frame: pl.DataFrame) -> pl.DataFrame:
    who = pl.coalesce("owner", cut("person.name").str.to_lowercase(), cut("person.uid"))
    return frame.filter((pl.col("class_uid") == PERSON) & (pl.col("activity_id") != 4)).select(
        "tenant_id",
        "row",
        "last_us",
        key=_bank("person.bank_account"),
        person=who,
        person_event="event_id",
    )


def _vendors(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(
        (pl.col("class_uid") == VENDOR)
        & pl.col("activity_id").is_in([1, 3, 5])
        & pl.col("vendor.uid").is_not_null()
    ).select(
        "tenant_id",
        "row",
        "last_us",
        key=_bank("vendor.bank_account"),
        vendor=cut("vendor.uid"),
        vendor_name=pl.coalesce(cut("vendor.name"), cut("vendor.uid")),
        maker=pl.col("actor"),
        vendor_event="event_id",
    )


def _declared(frame: pl.DataFrame) -> pl.DataFrame:
    by = account("unmapped.confirmed_by")
    return frame.filter(
        (pl.col("class_uid") == VENDOR)
        & pl.col("unmapped.confirmation").str.to_lowercase().str.contains("declared", literal=True)
        & by.is_not_null()
        & by.ne_missing(pl.col("actor"))
    ).select("tenant_id", "row", "last_us", key=cut("vendor.uid"))


def _invoices(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(
        (pl.col("class_uid") == INVOICE) & pl.col("activity_id").is_in([1, 5])
    ).select(
        "tenant_id",
        "row",
        "last_us",
        key=cut("document.uid"),
        creator=pl.coalesce("actor", "owner"),
        device=cut("device.uid"),
        created_event="event_id",
    )


def _joined(table: pl.DataFrame, fresh: pl.DataFrame, one: list[str]) -> pl.DataFrame:
    """Put what was known before the batch's rows; the first of a kind stays."""
    before = table.with_columns(row=pl.lit(_BEFORE, pl.Int64()))
    known = fresh.filter(pl.col("key").is_not_null()).select(before.columns)
    return pl.concat([before, known]).unique(one, keep="first", maintain_order=True)


def _kept(table: pl.DataFrame) -> pl.DataFrame:
    few = table.drop("row").filter(pl.int_range(pl.len()).over(_OWN) < MOST_SHARING)
    return newest(few, "last_us", META.max_keys).sort(_OWN, maintain_order=True)


def _matches(vendors: pl.DataFrame, people: pl.DataFrame, declared: pl.DataFrame) -> pl.DataFrame:
    """Give the vendors whose account is an employee's and that nobody declared before.

    `row`: where the later of the two facts stands, -1 = before this batch.
    """
    both = vendors.rename({"row": "vendor_row"}).join(
        people.select(*_OWN, "person", "person_event", person_row="row", person_us="last_us"),
        on=_OWN,
    )
    told = declared.group_by("tenant_id", vendor="key").agg(declared_row=pl.col("row").min())
    return (
        both.with_columns(row=pl.max_horizontal("vendor_row", "person_row"))
        .join(told, on=["tenant_id", "vendor"], how="left")
        .filter(pl.col("declared_row").is_null() | (pl.col("declared_row") > pl.col("row")))
        .sort(["tenant_id", "vendor", "person", "row"])
        .unique(["tenant_id", "vendor", "person"], keep="first", maintain_order=True)
    )


def _documents(frame: pl.DataFrame, matches: pl.DataFrame, invoices: pl.DataFrame) -> pl.DataFrame:
    """Give invoices and payments of vendors matched before them, with how the invoice began."""
    mine = matches.select(
        *("tenant_id", "vendor", "vendor_name", "person", "maker"),
        *("vendor_event", "person_event", "declared_row"),
        match_row="row",
    )
    first = invoices.select(
        *("tenant_id", "creator", "device", "created_event"),
        document="key",
        created_row="row",
        created_us="last_us",
    )
    return (
        frame.filter(
            pl.col("class_uid").is_in([INVOICE, PAYMENT])
            & pl.col("activity_id").is_in([1, 5, 6, 8, 9])
        )
        .select(
            *("tenant_id", "event_id", "row", "last_us", "class_uid", "activity_id"),
            *("actor", "owner"),
            here=cut("device.uid"),
            vendor=cut("vendor.uid"),
            document=cut("document.uid"),
        )
        .join(mine, on=["tenant_id", "vendor"], maintain_order="left")
        .filter(
            (pl.col("match_row") < pl.col("row"))
            & (pl.col("declared_row").is_null() | (pl.col("declared_row") > pl.col("row")))
        )
        .join(first, on=["tenant_id", "document"], how="left", maintain_order="left")
        .unique(["tenant_id", "event_id"], keep="first", maintain_order=True)
    )


def _match_claim(row: dict[str, Any]) -> Finding:
    name, person = row["vendor_name"], row["person"]
    return claim(
        META,
        SHARED,
        row["tenant_id"],
        _match_group(row),
        title=f"Vendor {name} is paid to the bank account of {person}",
        level="medium",
        kind="signal",
        time_us=max(int(row["last_us"]), int(row["person_us"])),
        entity_type="vendor",
        entity=row["vendor"],
        event_ids=(row["vendor_event"], row["person_event"]),
        event_count=2,
        reasons=(
            Reason("bank account", f"{name} and {person} have the same", "no employee's account"),
            Reason("declared", "by nobody", "confirmed by another person"),
        ),
        attack=("T1657",),
        links=pairs(("user", person), ("user", row["maker"])),
        fields=pairs(("vendor.uid", row["vendor"]), ("user.name", person)),
    )


def _match_group(row: dict[str, Any]) -> str:
    names = ("vendor", "person", "vendor_event", "person_event")
    return "\x1f".join(str(row[n]) for n in names)


def _document_claim(row: dict[str, Any]) -> Finding:
    paying = row["class_uid"] == PAYMENT
    alone = not paying and row["activity_id"] == 6 and _one_hand(row)
    name, actor = row["vendor_name"], row["actor"] or "somebody"
    what = "payment" if paying else "invoice"
    events = [row["vendor_event"], row["person_event"], row["event_id"]]
    if alone and row["created_event"] and row["created_row"] < row["row"]:
        events.insert(2, row["created_event"])
    reasons = [Reason("bank account", f"that of {row['person']}", "no employee's account")]
    if alone:
        reasons.append(Reason("created and approved by", alone, "two people at two devices"))
    title = (
        f"Invoice of {name}, which is paid to {row['person']}, let through by one hand"
        if alone
        else f"Vendor with the bank account of {row['person']}: {what} by {actor}"
    )
    return claim(
        META,
        f"{META.name}.one_hand" if alone else f"{META.name}.{what}",
        row["tenant_id"],
        row["event_id"],
        title=title,
        level="high" if alone else "low",
        kind="finding" if alone else "signal",
        time_us=int(row["last_us"]),
        entity_type="vendor",
        entity=row["vendor"],
        event_ids=tuple(dict.fromkeys(events)),
        event_count=len(set(events)),
        reasons=tuple(reasons),
        attack=("T1657",),
        # What began it may be months old: it belongs to the same story.
        parts=(_match_id(row),) if alone else (),
        links=pairs(
            ("document", row["document"]),
            ("user", row["actor"]),
            ("user", row["person"]),
            ("device", row["here"]),
        ),
        fields=pairs(
            ("vendor.uid", row["vendor"]),
            ("document.uid", row["document"]),
            ("actor.user.name", row["actor"]),
            ("user.name", row["person"]),
        ),
    )


def _match_id(row: dict[str, Any]) -> str:
    return finding_id(row["tenant_id"], META.name, META.version, SHARED, _match_group(row))


def _one_hand(row: dict[str, Any]) -> str:
    """Say in words why creator and approver are one, or ''."""
    creator = row["creator"] or row["owner"]
    if creator and creator == row["actor"]:
        return f"{creator}, one account"
    soon = row["created_us"] is not None and (
        0 <= int(row["last_us"]) - int(row["created_us"]) <= MINUTES * 60_000_000
    )
    if soon and row["device"] and row["device"] == row["here"]:
        return f"{creator} and {row['actor']}, on one device within {MINUTES} minutes"
    return ""
