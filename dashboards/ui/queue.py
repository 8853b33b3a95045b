"""Show the rows of the findings queue: selectable, each cell with its filter in and filter out.

Fifty rows would be some two thousand components, which Dash takes a minute to mount: the rows are
data in an attribute, and assets/queue.js makes the table of them, all text as text. It also has the
keys and the selection, and hands acts to the store `findings-act`.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dash import html

from dashboards.read.names import key_of
from dashboards.ui.marks import count_of, exact_time, said_time, short
from dashboards.ui.states import Part

Row = dict[str, Any]
_LONGEST = 300


def queue_table(rows: Sequence[Row], now: datetime, is_grouped: bool, may_work: bool) -> Part:
    """Show one page of rows; `may_work`: with boxes to choose them by."""
    told = {
        "grouped": is_grouped,
        "work": may_work,
        "rows": [_row(row, now, is_grouped) for row in rows],
    }
    return html.Div(
        className="rows", **{"data-queue": json.dumps(told, ensure_ascii=False, default=str)}
    )


def _row(row: Row, now: datetime, is_grouped: bool) -> Row:
    which = {"f": row["finding_id"]}
    if is_grouped:
        which |= {"r": row["rule_id"], "t": row["entity_type"], "e": row["entity"]}
    kind = "signal" if row["kind"] == "signal" else ""
    told = ", ".join(row["attack"][:3]) or row["detector"]
    return {
        "which": which,
        "level": row["level"],
        "rule": row["rule_id"],
        "title": short(row["title"], _LONGEST),
        "under": " · ".join(words for words in (kind, told) if words),
        "entity": row["entity"],
        "shown": row["shown"],
        "type": row["entity_type"],
        "path": key_of(row["entity_type"], row["entity"]).path,
        "incident": row["incident_id"],
        "status": row["status"],
        "who": row["assignee"],
        "count": count_of(row["findings"] if is_grouped else row["events"]),
        "said": said_time(row["time"], now),
        "exact": exact_time(row["time"]),
        "iso": row["time"].isoformat(),
    }
