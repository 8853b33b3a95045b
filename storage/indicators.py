"""Keep what feeds call hostile, and give it to who matches; every act audited."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import polars as pl
from psycopg import Connection
from psycopg.rows import TupleRow

from storage.audit import write_audit
from storage.database.queries import execute, select
from storage.errors import InvalidInput, NotFound
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
    scope: Scope, tx: Connection[TupleRow], feed: str, found: Sequence[Indicator]
) -> int:
    """Keep the indicators of a feed; one that is there takes the new times. Give how many.

    Needs `rules:write`. InvalidInput for a feed without a name, or over a million in all. The
    flows match them within about ten seconds.
    """
    scope.require(GRANT)
    name = checked_feed(feed)
    unique = {(i.type, i.value): i for i in found}
    held = int(str(select(tx, "indicators_count")[0]["indicators"]))
    if held + len(unique) > MOST:
        raise InvalidInput(f"a tenant keeps {MOST:,} indicators; drop a feed first")
    rows = [asdict(i) for i in unique.values()]
    for begin in range(0, len(rows), _AT_ONCE):
        execute(tx, "indicators_put", feed=name, rows=json.dumps(rows[begin : begin + _AT_ONCE]))
    execute(tx, "indicator_mark")
    write_audit(tx, scope, "intel.import", name, detail={"indicators": len(rows)})
    return len(rows)


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
