"""Signal a mail template that leads to an unseen domain, and a sudden flood of mails made of it.

A template and its domain are new for a week. What somebody else announced as a campaign is no
surprise. With a fresh key before them (rule `mail_key_made`) the two are a story.
"""

from typing import Any, Final

import polars as pl

from detectors import _announced
from detectors._columns import DAY_US, account, claim, cut, filled, newest, pairs, time_us
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State

MANAGED: Final = 3004
MAIL: Final = 4009
SENT: Final = 1
HOUR_US: Final = 3_600_000_000
NEW_US: Final = 7 * DAY_US
LEARNING_US: Final = 2 * DAY_US
"""What a house links to in its first days is learned as its own."""
MEMORY_US: Final = 14 * DAY_US
LEAST: Final = 500
"""Mails of one template within an hour of the clock below which nobody is asked."""
FACTOR: Final = 3
"""Times the largest hour of a usual day: the median, so that one launch does not hide the next."""
UNKNOWN: Final = 2_000
"""Mails an hour that are many in a house that has not sent for two days yet."""
MOST_DOMAINS: Final = 20_000


def _table(*names: str, **numbers: pl.DataType) -> dict[str, pl.DataType]:
    texts: dict[str, pl.DataType] = {n: pl.String() for n in ("tenant_id", "key", *names)}
    return {**texts, **numbers}


META: Final = DetectorMeta(
    name="campaign_hijack",
    version="1",
    title="Flood of mails from a new template with a new link",
    classes=frozenset({MANAGED, MAIL, _announced.ANNOUNCEMENT}),
    tables={
        "domains": _table(first_us=pl.Int64(), last_us=pl.Int64()),
        "templates": _table("domain", "credential", "event_id", last_us=pl.Int64()),
        "hours": _table("event_id", hour_us=pl.Int64(), mails=pl.Int64()),
        "announced": _announced.TABLE,
    },
    max_keys=5_000,
    bytes_per_key=20_000,
)

_OWN: Final = ["tenant_id", "key"]
_PLACE: Final = [*_OWN, "hour_us"]
_CREDENTIALS: Final = ("unmapped.actor.session.credential_uid", "unmapped.session.credential_uid")
_HOST: Final = r"^(?:[a-z][a-z0-9+.\-]*://)?(?:[^/@\s]*@)?([a-z0-9\-]+(?:\.[a-z0-9\-]+)+)"


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Learn templates and what they link to; count what is sent of each in an hour."""
    frame = _facts(batch.frame)
    plans = _announced.announced(frame, state["announced"], META.max_keys, "campaign")
    links = _links(frame)
    strange = _announced.unexpected(_strange(links, state["domains"]), plans).unique(
        _OWN, keep="first", maintain_order=True
    )
    fresh = strange.join(state["templates"], on=_OWN, how="anti", maintain_order="left")
    sent = _sent(frame)
    templates = pl.concat(
        [state["templates"].with_columns(row=pl.lit(-1, pl.Int64())), _rows_of(fresh)]
    )
    floods = _floods(sent, templates, state["hours"])
    floods = _announced.unexpected(floods, plans)
    kept = templates.drop("row").filter(pl.col("last_us") + NEW_US > context.watermark_us)
    after = {
        "domains": _domains(links, state["domains"]),
        "templates": newest(kept, "last_us", META.max_keys).sort(_OWN),
        "hours": _hours(sent, state["hours"], context.watermark_us),
        "announced": plans,
    }
    found = [_template_claim(row) for row in fresh.iter_rows(named=True)]
    found += [_flood_claim(row) for row in floods.iter_rows(named=True)]
    return {n: state[n] if after[n].equals(state[n]) else after[n] for n in after}, found


def _facts(frame: pl.DataFrame) -> pl.DataFrame:
    frame = filled(
        frame,
        *("actor.user.name", "user.name", "src_endpoint.ip", "email.from", "record_count"),
        *("unmapped.entity.type", "unmapped.entity.uid", "unmapped.urls", "unmapped.template_uid"),
        *("unmapped.campaign_uid", *_CREDENTIALS),
    )
    made = pl.when(pl.col("class_uid") == MANAGED).then(cut("unmapped.entity.uid"))
    return frame.with_columns(
        row=pl.int_range(pl.len(), dtype=pl.Int64),
        time_us=time_us(),
        actor=account("actor.user.name", "user.name"),
        key=pl.coalesce(made, cut("unmapped.template_uid")),
        credential=pl.coalesce(cut(name) for name in _CREDENTIALS),
        campaign=cut("unmapped.campaign_uid"),
        ip=pl.col("src_endpoint.ip"),
    )


def _links(frame: pl.DataFrame) -> pl.DataFrame:
    """Give each domain that a template, new or sent, leads to: one row a domain."""
    kind = pl.col("unmapped.entity.type").str.to_lowercase().str.contains("template", literal=True)
    made = (pl.col("class_uid") == MANAGED) & kind & pl.col("activity_id").is_in([1, 3])
    sent = (pl.col("class_uid") == MAIL) & (pl.col("activity_id") == SENT)
    return (
        frame.filter((made | sent).fill_null(value=False) & pl.col("key").is_not_null())
        .select(
            *("tenant_id", "row", "event_id", "time_us", "actor", "key", "credential"),
            *("campaign", "ip"),
            domain=pl.col("unmapped.urls").str.slice(0, 8192).str.to_lowercase().str.split("\n"),
        )
        .explode("domain")
        .with_columns(domain=pl.col("domain").str.strip_chars().str.extract(_HOST))
        .drop_nulls("domain")
    )


def _strange(links: pl.DataFrame, domains: pl.DataFrame) -> pl.DataFrame:
    """Give the links to domains that were first seen within a week, with what they go by."""
    own = ["tenant_id", "domain"]
    known = domains.select("tenant_id", "first_us", domain="key")
    house = domains.group_by("tenant_id").agg(since_us=pl.col("first_us").min())
    first = pl.min_horizontal("first_us", pl.col("time_us").cum_min().over(own))
    since = pl.min_horizontal("since_us", pl.col("time_us").cum_min().over("tenant_id"))
    return (
        links.join(known, on=own, how="left", maintain_order="left")
        .join(house, on="tenant_id", how="left", maintain_order="left")
        .filter((pl.col("time_us") - first < NEW_US) & (first - since >= LEARNING_US))
        .with_columns(
            subjects=pl.concat_list(
                pl.col(n).str.to_lowercase() for n in ("campaign", "key", "domain")
            )
        )
    )


def _rows_of(fresh: pl.DataFrame) -> pl.DataFrame:
    return fresh.select(
        *("tenant_id", "key", "domain", "credential", "event_id"), "row", last_us="time_us"
    ).select(*META.tables["templates"], "row")


def _domains(links: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    if links.is_empty():
        return table
    fresh = links.select("tenant_id", key="domain", first_us="time_us", last_us="time_us")
    merged = (
        pl.concat([table, fresh])
        .group_by(_OWN)
        .agg(pl.col("first_us").min(), pl.col("last_us").max())
        .select(table.columns)
    )
    return newest(merged, "last_us", min(MOST_DOMAINS, META.max_keys)).sort(_OWN)


def _sent(frame: pl.DataFrame) -> pl.DataFrame:
    """Give mails sent of a template; a record may stand for many (`record_count`)."""
    return frame.filter(
        (pl.col("class_uid") == MAIL)
        & (pl.col("activity_id") == SENT)
        & pl.col("key").is_not_null()
    ).select(
        *("tenant_id", "row", "event_id", "time_us", "actor", "key", "credential"),
        *("campaign", "ip"),
        sender=cut("email.from"),
        mails=pl.col("record_count").fill_null(1).clip(0, 10**9),
        hour_us=pl.col("time_us").floordiv(HOUR_US) * HOUR_US,
    )


def _floods(sent: pl.DataFrame, templates: pl.DataFrame, hours: pl.DataFrame) -> pl.DataFrame:
    """Give the mail by which a strange template's hour passes the house's largest so far."""
    before = hours.select(*_PLACE, old="mails", first_event="event_id")
    counted = (
        sent.join(before, on=_PLACE, how="left", maintain_order="left")
        .with_columns(
            so_far=pl.col("old").fill_null(0) + pl.col("mails").cum_sum().over(_PLACE),
            opened=pl.coalesce("first_event", pl.col("event_id").first().over(_PLACE)),
        )
        .filter(pl.col("so_far") >= LEAST)
    )
    if counted.is_empty():
        return counted.with_columns(subjects=pl.lit(None, pl.List(pl.String)))
    mine = templates.select(
        *_OWN, "domain", template_event="event_id", key_of="credential", made_row="row"
    )
    joined = counted.join(mine, on=_OWN, maintain_order="left").filter(
        pl.col("made_row") <= pl.col("row")
    )
    return (
        _with_bar(joined, sent, hours)
        .filter(
            (pl.col("so_far") >= pl.col("bar"))
            & (pl.col("so_far") - pl.col("mails") < pl.col("bar"))
        )
        .with_columns(
            credential=pl.coalesce("credential", "key_of"),
            subjects=pl.concat_list(
                pl.col(n).str.to_lowercase() for n in ("campaign", "key", "domain")
            ),
        )
    )


def _with_bar(rows: pl.DataFrame, sent: pl.DataFrame, hours: pl.DataFrame) -> pl.DataFrame:
    """Add `usual`, the median of the largest hours of the days before, and the `bar` of it."""
    whole = pl.concat([hours.select(*_PLACE, "mails"), sent.select(*_PLACE, "mails")])
    earlier = (
        whole.group_by("tenant_id", "hour_us")
        .agg(of_all=pl.col("mails").sum())
        .with_columns(then_d=pl.col("hour_us").floordiv(DAY_US))
    )
    usual = (
        rows.select("tenant_id", "row", day=pl.col("hour_us").floordiv(DAY_US))
        .join(earlier, on="tenant_id")
        .filter(pl.col("then_d") < pl.col("day"))
        .group_by("tenant_id", "row", "then_d")
        .agg(pl.col("of_all").max())
        .group_by("tenant_id", "row")
        .agg(
            # The lower middle one, in whole numbers.
            usual=pl.col("of_all").sort().get((pl.len() - 1) // 2),
            days=pl.len().cast(pl.Int64),
        )
    )
    known = pl.when(pl.col("days") >= 2).then(FACTOR * pl.col("usual")).otherwise(UNKNOWN)
    return rows.join(
        usual, on=["tenant_id", "row"], how="left", maintain_order="left"
    ).with_columns(bar=pl.max_horizontal(known.fill_null(UNKNOWN), pl.lit(LEAST)))


def _hours(sent: pl.DataFrame, hours: pl.DataFrame, watermark_us: int) -> pl.DataFrame:
    """Keep what was sent of each template in each hour of two weeks."""
    if sent.is_empty():
        return hours
    fresh = sent.group_by(_PLACE, maintain_order=True).agg(
        pl.col("event_id").first(), pl.col("mails").sum()
    )
    merged = (
        pl.concat([hours, fresh.select(hours.columns)])
        .group_by(_PLACE, maintain_order=True)
        .agg(pl.col("event_id").first(), pl.col("mails").sum())
        .filter(pl.col("hour_us") + MEMORY_US > watermark_us)
        .select(hours.columns)
    )
    return newest(merged, "hour_us", META.max_keys).sort(_PLACE)


def _template_claim(row: dict[str, Any]) -> Finding:
    who = row["actor"] or "somebody"
    return claim(
        META,
        f"{META.name}.template",
        row["tenant_id"],
        row["event_id"],
        title=f"Mail template {row['key']} by {who} leads to {row['domain']}, never linked before",
        level="low",
        kind="signal",
        time_us=int(row["time_us"]),
        entity_type="domain",
        entity=row["domain"],
        event_ids=(row["event_id"],),
        reasons=(Reason("link", row["domain"], "a domain that mails of the house led to before"),),
        attack=("T1566.002",),
        links=pairs(("user", row["actor"]), ("ip", row["ip"])),
        fields=_fields(row),
    )


def _flood_claim(row: dict[str, Any]) -> Finding:
    usual = f"{row['usual']:,} in the largest hour of a usual day" if row["usual"] else "none"
    events = (row["template_event"], row["opened"], row["event_id"])
    return claim(
        META,
        f"{META.name}.flood",
        row["tenant_id"],
        row["event_id"],
        title=f"{row['so_far']:,} mails within an hour of template {row['key']}, "
        f"which leads to {row['domain']}",
        level="medium",
        kind="signal",
        time_us=int(row["time_us"]),
        entity_type="domain",
        entity=row["domain"],
        event_ids=tuple(dict.fromkeys(events)),
        event_count=len(set(events)),
        reasons=(
            Reason("mails of one template in an hour", f"{row['so_far']:,}", usual),
            Reason("announced", "by nobody else", "a campaign that another person announced"),
        ),
        attack=("T1566.002", "T1586"),
        links=pairs(("user", row["actor"]), ("ip", row["ip"]), ("user", row["sender"])),
        fields=_fields(row),
    )


def _fields(row: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return pairs(("credential", row["credential"]), ("template", row["key"]))
