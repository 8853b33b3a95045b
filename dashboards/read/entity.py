"""Read one entity: what is claimed about it, how it compares, what befell it, who is near it."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import TupleRow

from business.risk import Day, Risk, history
from dashboards.read.exposure import Value, value_of
from dashboards.read.happenings import events_near, facts_near, merged
from dashboards.read.known import Names, names_of
from dashboards.read.names import Key, key_of, named_by
from dashboards.read.newest import end_of
from dashboards.read.patience import AT_ONCE_S, within
from dashboards.read.risk import risks_with_money
from dashboards.ui.marks import LEVELS
from storage.audit import write_audit
from storage.database import Database
from storage.database.queries import select
from storage.errors import Unavailable
from storage.lake import Lake
from storage.tenant import Scope

Row = dict[str, Any]
DAYS: Final = 30
SPANS: Final = {
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "1h": timedelta(hours=1),
}
PEER_DAYS: Final = 7
MOST_CLAIMS: Final = 1000
MOST_EVENTS: Final = 120
MOST_LINKED: Final = 40
QUERY_MS: Final = "10000"
_MOST_ALIASES: Final = 12


@dataclass(frozen=True, slots=True)
class Linked:
    """Name another entity, in how many of the same claims it is, and how grave they are."""

    key: Key
    claims: int
    level: str
    last_time: datetime


@dataclass(frozen=True, slots=True)
class Peers:
    """Compare with others of its kind over `PEER_DAYS` days; `entities` 0: nothing to compare."""

    events: int
    low: int
    middle: int
    high: int
    entities: int


@dataclass(frozen=True, slots=True)
class Entity:
    """Hold what the page shows of an entity, over the `DAYS` days before `until`."""

    key: Key
    until: datetime
    claims: list[Row]
    is_cut: bool
    days: list[datetime]
    by_day: dict[str, list[int]]
    risk: Risk
    risk_by_day: list[Day]
    value: Value
    events_by_day: list[int]
    first_seen: datetime | None
    last_seen: datetime | None
    peers: Peers
    aliases: list[str]
    linked: list[Linked]
    incidents: list[Row]
    names: Names

    @property
    def is_known(self) -> bool:
        """Answer whether anything at all is known of it."""
        return bool(self.claims or self.value.rows) or self.last_seen is not None


@dataclass(frozen=True, slots=True)
class Lately:
    """Hold what befell it in a span that ends at `until`. `events` None: may not be seen.

    `is_late`: the history was too slow; mails and business facts are not among them.
    """

    span: str
    since: datetime
    until: datetime
    events: list[Row] | None
    claims: list[Row]
    is_cut: bool
    is_late: bool = False


def entity(database: Database, scope: Scope, key: Key, now: datetime) -> Entity:
    """Read what is known of the entity; nothing known gives empty parts, not an error."""
    scope.require("findings:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        until = end_of(tx, now)
        since = until - timedelta(days=DAYS)
        claims = claims_of(tx, key, since, until, MOST_CLAIMS)
        bounds = {"since": since, "until": until}
        counted: list[Row] = select(tx, "investigate_counts", **key.asked, **bounds)
        spelled = select(tx, "investigate_spellings", **key.asked, **bounds, limit=_MOST_ALIASES)
        peers = _peers(tx, key, until)
        ids = [c["finding_id"] for c in claims[:500]]
        may = scope.may("incidents:read") and ids
        held = select(tx, "investigate_incidents_of", finding_ids=ids, limit=20) if may else []
        linked = _linked(key, claims)
        names = names_of(tx, scope, [key, *(near.key for near in linked)])
        value = value_of(tx, scope, [key, *(near.key for near in linked)])
        told = risks_with_money(tx, scope, [key], until, {key: value})[0]
        days_of = history(scope, tx, key.kind, key.name, until, value.most_cents)
    days = [_day(since) + timedelta(days=n) for n in range(1, DAYS + 1)]
    return Entity(
        key=key,
        until=until,
        claims=claims,
        is_cut=len(claims) >= MOST_CLAIMS,
        days=days,
        by_day=_by_day(claims, days),
        risk=told,
        risk_by_day=days_of,
        value=value,
        events_by_day=_events_by_day(counted, days),
        first_seen=min((c["first_time"] for c in counted), default=None),
        last_seen=max((c["last_time"] for c in counted), default=None),
        peers=peers,
        aliases=_aliases(key, [str(row["entity"]) for row in spelled], claims),
        linked=linked,
        incidents=held,
        names=names,
    )


def lately(
    database: Database, lake: Lake, scope: Scope, found: Entity, span: str, at: datetime | None
) -> Lately:
    """Read what befell it in a span that ends at `at`, else at the newest that is known of it."""
    span = span if span in SPANS else "24h"
    newest = max(
        [t for t in (found.last_seen, *(c["time"] for c in found.claims[:1])) if t],
        default=found.until,
    )
    until = at or newest + timedelta(minutes=10)
    since = until - SPANS[span]
    told = None
    is_cut = is_late = False
    if scope.may("events:read"):
        with database.app(scope) as tx:
            select(tx, "limit_statement_time", milliseconds=QUERY_MS)
            hot = _latest(tx, found.key, since, until)
            write_audit(tx, scope, "event.view", found.key.id)
        facts: list[Row] = []
        asked = (database, lake, scope, [found.key], since, until, MOST_EVENTS)
        try:
            facts = within(AT_ONCE_S, lambda: facts_near(*asked))
        except Unavailable:
            is_late = True
        told, is_cut = merged(hot, facts), len(hot) >= MOST_EVENTS
    claims = [c for c in found.claims if since <= c["time"] < until]
    return Lately(span, since, until, told, claims[:200], is_cut, is_late)


def _latest(tx: Connection[TupleRow], key: Key, since: datetime, until: datetime) -> list[Row]:
    """Read back a day at a time until there is enough: the busy need only the last one."""
    found: list[Row] = []
    end = until
    while end > since and len(found) < MOST_EVENTS:
        step = min(end - since, timedelta(days=1))
        found += events_near(tx, [key], end, timedelta(0), MOST_EVENTS - len(found), step)
        end -= step
    return found


def claims_of(
    tx: Connection[TupleRow], key: Key, since: datetime, until: datetime, limit: int
) -> list[Row]:
    """Give the claims about the entity or touching it, newest first."""
    told = {"kind": key.kind, **key.asked, "since": since, "until": until, "limit": limit}
    return select(tx, "investigate_entity_findings", **told)


def _day(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def _by_day(claims: list[Row], days: list[datetime]) -> dict[str, list[int]]:
    place = {day: n for n, day in enumerate(days)}
    found = {level: [0] * len(days) for level in LEVELS}
    for claim in claims:
        at = place.get(_day(claim["time"]))
        if at is not None and claim["level"] in found:
            found[claim["level"]][at] += 1
    return found


def _events_by_day(counted: list[Row], days: list[datetime]) -> list[int]:
    told = {row["day"]: int(row["events"]) for row in counted}
    return [told.get(day, 0) for day in days]


def _peers(tx: Connection[TupleRow], key: Key, until: datetime) -> Peers:
    bounds = {"since": until - timedelta(days=PEER_DAYS), "until": until, "kind": key.kind}
    rows: list[Row] = select(tx, "investigate_peers", **bounds, name=key.name)
    told = {k: int(v or 0) for k, v in rows[0].items()}
    return Peers(**told)


def _aliases(key: Key, spelled: list[str], claims: list[Row]) -> list[str]:
    """Give how sources write it, those of events before those of claims."""
    names: Counter[str] = Counter()
    for claim in claims:
        pairs = [(claim["entity_type"], claim["entity"]), *claim["links"]]
        for kind, name in (pair[:2] for pair in pairs if len(pair) >= 2):
            if key_of(str(kind), str(name)) == key and str(name) != key.name:
                names[str(name)] += 1
    told = [*spelled, *(name for name, _ in names.most_common())]
    return [name for name in dict.fromkeys(told) if name != key.name][:_MOST_ALIASES]


def _linked(key: Key, claims: list[Row]) -> list[Linked]:
    near: dict[Key, list[Row]] = defaultdict(list)
    for claim in claims:
        for other in named_by(claim):
            if other != key:
                near[other].append(claim)
    told = [
        Linked(k, len(rows), min((str(r["level"]) for r in rows), key=_place), rows[0]["time"])
        for k, rows in near.items()
    ]
    return sorted(told, key=lambda n: (-n.claims, n.key))[:MOST_LINKED]


def _place(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)
