"""Claim a seller who keeps giving one customer prices beyond policy, above all a related one.

Related: a mail address of the customer is an employee's private one. Campaign prices and prices
that somebody approved do not count.
"""

from typing import Any, Final

import polars as pl

from detectors._columns import DAY_US, account, claim, cut, filled, newest, pairs, time_us
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State, finding_id

PERSON: Final = 999005
COMPANY: Final = 999011
CONTACT: Final = 999012
DEAL: Final = 999013
POLICY: Final = 30.0
"""Percent off the list price that a seller may give alone."""
TIMES: Final = 3
WINDOW_US: Final = 30 * DAY_US
RELATED: Final = "discounts.related"
REMEMBERED: Final = 100
"""Discounts kept of one seller and customer; mail addresses of one customer likewise."""


def _table(*names: str) -> dict[str, pl.DataType]:
    texts: dict[str, pl.DataType] = {n: pl.String() for n in ("tenant_id", "key", *names)}
    return {**texts, "last_us": pl.Int64()}


META: Final = DetectorMeta(
    name="discounts",
    version="1",
    title="Discounts beyond policy for one customer",
    classes=frozenset({PERSON, COMPANY, CONTACT, DEAL}),
    tables={
        "people": _table("person", "person_event"),
        "mails": _table("mail", "mail_event"),
        "given": {**_table("what", "event_id"), "percent": pl.Float64()},
    },
    max_keys=50_000,
    bytes_per_key=REMEMBERED * 90,
)

_OWN: Final = ["tenant_id", "key"]
_BEFORE: Final = -1


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Count each seller's discounts beyond policy for each customer over thirty days."""
    del context
    if batch.frame.is_empty():
        return state, []
    frame = _facts(batch.frame)
    people = _joined(state["people"], _people(frame), _OWN)
    mails = _joined(state["mails"], _mails(frame), [*_OWN, "mail"])
    fresh = _given(frame)
    given = _joined(state["given"], fresh, [*_OWN, "what"])
    counted = _counted(given)
    found = [_claim(row) for row in _related(counted, mails, people).iter_rows(named=True)]
    if fresh.is_empty():
        kept = state["given"]
    else:
        kept = _kept(given.sort("last_us", descending=True, maintain_order=True))
    after = {"people": _kept(people), "mails": _kept(mails), "given": kept}
    return {n: state[n] if after[n].equals(state[n]) else after[n] for n in after}, found


def _facts(frame: pl.DataFrame) -> pl.DataFrame:
    frame = filled(
        frame,
        *("person.name", "user.name", "actor.user.name", "customer.uid", "customer.name"),
        *("document.uid", "discount_percent", "email.from", "unmapped.private_mail"),
        *("unmapped.mail", "unmapped.contact_mail", "unmapped.address"),
        *("unmapped.campaign", "unmapped.approved_by"),
    )
    return frame.with_columns(row=pl.int_range(pl.len(), dtype=pl.Int64), last_us=time_us())


def _mail(name: str) -> pl.Expr:
    return pl.col(name).str.to_lowercase().str.extract(r"([a-z0-9._%+\-]{1,64}@[a-z0-9.\-]{3,255})")


def _people(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter((pl.col("class_uid") == PERSON) & (pl.col("activity_id") != 4)).select(
        *("tenant_id", "row", "last_us"),
        key=_mail("unmapped.private_mail"),
        person=pl.coalesce(account("user.name"), cut("person.name")).fill_null("an employee"),
        person_event="event_id",
    )


def _mails(frame: pl.DataFrame) -> pl.DataFrame:
    # A company's own address, its contacts', and the one a deal was made with.
    said = frame.filter(pl.col("class_uid").is_in([COMPANY, CONTACT, DEAL])).select(
        *("tenant_id", "row", "last_us"),
        key=cut("customer.uid"),
        mail=pl.concat_list(
            _mail("unmapped.mail"), _mail("unmapped.contact_mail"), _mail("unmapped.address")
        ),
        mail_event="event_id",
    )
    return said.explode("mail").drop_nulls("mail")


def _given(frame: pl.DataFrame) -> pl.DataFrame:
    signed = pl.any_horizontal(
        pl.col(n).str.contains(r"\S").fill_null(value=False)
        for n in ("unmapped.campaign", "unmapped.approved_by")
    )
    return frame.filter(
        (pl.col("class_uid") == DEAL)
        & (pl.col("discount_percent") > POLICY)
        & ~signed
        & pl.col("customer.uid").is_not_null()
        & account("actor.user.name").is_not_null()
    ).select(
        *("tenant_id", "row", "last_us", "event_id"),
        key=account("actor.user.name") + "\x1f" + cut("customer.uid"),
        # The same price told again, with a later stage of the deal, is not given again.
        what=pl.coalesce("document.uid", "event_id")
        + "\x1f"
        + pl.col("discount_percent").cast(pl.String),
        percent=pl.col("discount_percent"),
    )


def _joined(table: pl.DataFrame, fresh: pl.DataFrame, one: list[str]) -> pl.DataFrame:
    before = table.with_columns(row=pl.lit(_BEFORE, pl.Int64()))
    known = fresh.filter(pl.col("key").is_not_null()).select(before.columns)
    return pl.concat([before, known]).unique(one, keep="first", maintain_order=True)


def _kept(table: pl.DataFrame) -> pl.DataFrame:
    few = table.drop("row").filter(pl.int_range(pl.len()).over(_OWN) < REMEMBERED)
    return newest(few, "last_us", META.max_keys).sort([*_OWN, "last_us"], maintain_order=True)


def _counted(given: pl.DataFrame) -> pl.DataFrame:
    """Give each new discount with all of its last thirty days, three of them at least."""
    new = given.filter(pl.col("row") >= 0).select(
        *("tenant_id", "key", "event_id", "row"), here_us="last_us"
    )
    every = given.select(
        *("tenant_id", "key", "percent"), other="event_id", at="row", at_us="last_us"
    )
    return (
        new.join(every, on=_OWN)
        .filter(
            (pl.col("at") <= pl.col("row"))
            & (pl.col("at_us") > pl.col("here_us") - WINDOW_US)
            & (pl.col("at_us") <= pl.col("here_us"))
        )
        .sort(["row", "at_us", "other"])
        .group_by("tenant_id", "key", "event_id", "row", "here_us", maintain_order=True)
        .agg(pl.col("other"), most=pl.col("percent").max(), least=pl.col("percent").min())
        .filter(pl.col("other").list.len() >= TIMES)
        .with_columns(
            seller=pl.col("key").str.split("\x1f").list.first(),
            customer=pl.col("key").str.split("\x1f").list.last(),
        )
    )


def _related(counted: pl.DataFrame, mails: pl.DataFrame, people: pl.DataFrame) -> pl.DataFrame:
    """Add the employee whose private address is one of the customer's, as known by then."""
    relation = (
        mails.select("tenant_id", "mail", "mail_event", customer="key", mail_row="row")
        .join(
            people.select("tenant_id", "person", "person_event", mail="key", person_row="row"),
            on=["tenant_id", "mail"],
        )
        .with_columns(known=pl.max_horizontal("mail_row", "person_row"))
    )
    joined = counted.join(relation, on=["tenant_id", "customer"], how="left", maintain_order="left")
    late = pl.col("known") > pl.col("row")
    return (
        joined.with_columns(
            pl.when(~late).then(pl.col(n)).alias(n)
            for n in ("person", "mail", "mail_event", "person_event")
        )
        .sort(["row", "person", "mail"], nulls_last=True)
        .unique(["tenant_id", "event_id"], keep="first", maintain_order=True)
    )


def _claim(row: dict[str, Any]) -> Finding:
    related = row["person"] is not None
    seller, customer, times = row["seller"], row["customer"], len(row["other"])
    ends = [row["mail_event"], row["person_event"]] if related else []
    reasons = [
        Reason(
            "discounts without campaign or approval",
            f"{times} in 30 days, {row['least']:.0f} to {row['most']:.0f} %",
            f"fewer than {TIMES}, and {POLICY:.0f} % at most",
        )
    ]
    title = f"{seller} gave customer {customer} {times} discounts beyond policy in 30 days"
    if related:
        title = f"{title}; its address is {row['person']}'s private one"
        reasons.append(
            Reason("mail of the customer", f"private address of {row['person']}", "no employee's")
        )
    return claim(
        META,
        RELATED if related else f"{META.name}.repeated",
        row["tenant_id"],
        row["event_id"],
        title=title,
        level="high" if related else "medium",
        time_us=int(row["here_us"]),
        entity_type="customer",
        entity=customer,
        event_ids=(*row["other"][-90:], *ends),
        event_count=times + len(ends),
        reasons=tuple(reasons),
        attack=("T1657",),
        # The claims of the earlier ones, as far as they were made: one story.
        parts=tuple(_id(row, event) for event in row["other"][TIMES - 1 : -1]) if related else (),
        links=pairs(("user", seller), ("user", row["person"] if related else None)),
        fields=pairs(("customer.uid", customer), ("actor.user.name", seller)),
    )


def _id(row: dict[str, Any], event_id: str) -> str:
    return finding_id(row["tenant_id"], META.name, META.version, RELATED, event_id)
