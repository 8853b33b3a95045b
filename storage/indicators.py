"""Keep what feeds call hostile, and give it to who matches; every act audited."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any, Final

import polars as pl
from psycopg import Connection
from psycopg.rows import TupleRow

from storage.audit import write_audit
from storage.database.queries import execute, select
from storage.errors import InvalidInput, NotFound
from storage.indicator_matches import queue_match
from storage.schema.indicator import Indicator
from storage.tenant import Scope

GRANT: Final = "rules:write"
MOST: Final = 1_000_000
"""Indicators that a tenant may keep."""
LONGEST_FEED: Final = 100
_AT_ONCE: Final = 10_000
Row = dict[str, Any]
FRAME: Final = {
    "type": pl.String(),
    "value": pl.String(),
    "feed": pl.String(),
    "valid_from_us": pl.Int64(),
    "valid_until_us": pl.Int64(),
    "confidence": pl.Int64(),
}
"""Columns of the indicators that the flows match; no end = null."""


def put_indicators(
    scope: Scope,
    tx: Connection[TupleRow],
    feed: str,
    found: Sequence[Indicator],
    *,
    past: bool = True,
    retold: Collection[str] = (),
    is_whole: bool = False,
) -> int:
    """Keep the indicators of a feed; one that is there takes the new times. Give how many.

    `past`: those that are new are looked for in the history by themselves. `retold`: ids of
    patterns that `found` tells anew, whole: what else the feed has of them is forgotten.
    `is_whole`: `found` is all that the feed has; what is no longer in it ends now.

    Needs `rules:write`. InvalidInput for a feed without a name, or over a million in all. The
    flows match them within about ten seconds. The same again changes nothing.
    """
    scope.require(GRANT)
    name = checked_feed(feed)
    unique = {(i.type, i.value): i for i in found}
    rows = [_storable(i) for i in unique.values()]
    gone = _given_up(tx, name, list(unique), sorted(set(retold)), is_whole=is_whole)
    new = changed = 0
    for begin in range(0, len(rows), _AT_ONCE):
        some = json.dumps(rows[begin : begin + _AT_ONCE])
        told = select(tx, "indicators_put", feed=name, rows=some, past=past)[0]
        new, changed = new + int(str(told["new"])), changed + int(str(told["changed"]))
    if new and int(str(select(tx, "indicators_count")[0]["indicators"])) > MOST:
        raise InvalidInput(f"a tenant keeps {MOST:,} indicators; drop a feed first")
    if new and past:
        queue_match(tx)
    if changed or gone:
        execute(tx, "indicator_mark")
        detail = {"indicators": len(rows), "new": new, "changed": changed, "gone": gone}
        write_audit(tx, scope, "intel.import", name, detail=detail)
    return len(rows)


def _given_up(
    tx: Connection[TupleRow],
    feed: str,
    kept: Sequence[tuple[str, str]],
    retold: Sequence[str],
    *,
    is_whole: bool,
) -> int:
    """Forget or end what a feed says no more; give how many."""
    if not retold and not is_whole:
        return 0
    types, values = [kind for kind, _ in kept], [value for _, value in kept]
    told = {"feed": feed, "types": types, "values": values}
    gone = execute(tx, "indicators_forget", patterns=list(retold), **told) if retold else 0
    return gone + (execute(tx, "indicators_end", **told) if is_whole else 0)


def _storable(one: Indicator) -> Row:
    """Give a row that JSON and PostgreSQL take, whatever a feed wrote into its free texts."""
    row = asdict(one)
    row["labels"] = [_clean(label) for label in one.labels]
    return row | {"tlp": _clean(one.tlp), "pattern_id": _clean(one.pattern_id)}


def _clean(text: str) -> str:
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def drop_feed(scope: Scope, tx: Connection[TupleRow], feed: str) -> int:
    """Forget the indicators of a feed; what was claimed by them stays. Needs `rules:write`."""
    scope.require(GRANT)
    gone = execute(tx, "indicators_drop_feed", feed=feed)
    if not gone:
        raise NotFound(f"there is no feed '{feed[:80]}'")
    execute(tx, "indicator_mark")
    write_audit(tx, scope, "intel.drop", feed[:LONGEST_FEED], detail={"indicators": gone})
    return gone


def checked_feed(feed: str) -> str:
    """Give the feed's name without blanks around it; InvalidInput if it is none."""
    name = feed.strip()
    if not name or len(name) > LONGEST_FEED or not name.isprintable():
        raise InvalidInput(f"a feed's name has 1 to {LONGEST_FEED} printable characters")
    return name


def indicator_feeds(scope: Scope, tx: Connection[TupleRow]) -> list[Row]:
    """Give each feed: indicators, expired ones, last change. Needs `findings:read`."""
    scope.require("findings:read")
    return select(tx, "indicator_feeds")


def find_indicators(
    scope: Scope, tx: Connection[TupleRow], text: str | None, feed: str | None, limit: int
) -> list[Row]:
    """Give indicators by value: those that hold the text, of a feed or of all."""
    scope.require("findings:read")
    pattern = None
    if text and (wanted := text.strip().lower().replace("\x00", "")):
        escaped = wanted.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        pattern = f"%{escaped}%"
    none = dict.fromkeys(("after", "after_type", "after_feed"))
    return select(tx, "indicators_page", text=pattern, feed=feed, limit=limit, **none)


def sightings(scope: Scope, tx: Connection[TupleRow], limit: int = 100) -> list[Row]:
    """Give the indicators seen: value, feed, how often, first and last, on how many entities."""
    scope.require("findings:read")
    return select(tx, "sightings", limit=limit)


def indicator_marks(tx: Connection[TupleRow]) -> dict[str, int]:
    """Give tenant -> a number that changes with its indicators; as the writer."""
    rows = select(tx, "indicator_marks")
    return {str(row["tenant_id"]): int(str(row["mark"])) for row in rows}


def indicators_of(tx: Connection[TupleRow], tenant_id: str) -> pl.DataFrame:
    """Give a tenant's indicators with the columns of `FRAME`; as the writer."""
    rows = select(tx, "indicators_of", of_tenant=tenant_id)
    return pl.DataFrame(rows, schema=FRAME)
