"""Show what a rule would have said of the past, and which texts it had."""

import difflib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from dash import dcc, html

from dashboards.ui.brush import said_count
from dashboards.ui.charts import Series, stacked_bars
from dashboards.ui.controls import act_button
from dashboards.ui.marks import count_of, level_badge, moment, short
from dashboards.ui.panels import pill, table
from dashboards.ui.states import Part

Row = dict[str, Any]
_SHOWN: Final = 10
_MOST_LINES: Final = 200


def past(told: Row, now: datetime) -> Part:
    """Show a back-test: how far it is, why it failed, or what came of it."""
    if told["status"] == "failed":
        return html.P(["It could not be run: ", short(str(told["reason"]), 300)], className="bad")
    if told["status"] != "done":
        words = "waits for its turn" if told["status"] == "queued" else "is running"
        said = f"The back-test {words}: {count_of(int(told['events']))} events read."
        return html.P(said, className="muted", **{"aria-live": "polite"})
    result = told["result"] or {}
    return html.Div(
        [_chart(told, result), _sentence(result), _hits(result, now)], className="stack"
    )


def _chart(told: Row, result: Row) -> Part:
    counted = dict(result.get("by_day", []))
    last = told["until"].astimezone(UTC).date()
    days = [last - timedelta(days=back) for back in reversed(range(int(told["days"]) + 1))]
    hits = [int(counted.get(day.isoformat(), 0)) for day in days]
    summary = f"{said_count(int(result['hits']), 'hit')} in {told['days']} days."
    labels = [f"{day:%d %b}" for day in days]
    return stacked_bars("Hits by day", summary, labels, [Series("Hits", hits)], name="past-chart")


def _sentence(result: Row) -> Part:
    removed = result.get("removed")
    taken = "" if removed is None else f" The filter takes away {count_of(int(removed))} more."
    cut = f" Not everything was read: it {result['cut']}." if result.get("cut") else ""
    cost = result.get("cost_us")
    spent = "" if cost is None else f" It cost {float(cost):,.0f} µs of CPU for 1,000 events."
    return html.P(
        f"{count_of(int(result['hits']))} hits in {count_of(int(result['events']))} events, "
        f"{float(result['a_day']):.2f} a day.{taken}{cut}{spent}",
        className="muted small",
    )


def _hits(result: Row, now: datetime) -> Part:
    rows = [
        (
            moment(datetime.fromtimestamp(int(one["time_us"]) / 1_000_000, UTC), now),
            level_badge(str(one["level"])),
            short(str(one["title"]), 90),
            html.Div([str(one["entity"])[:60], _type(str(one["entity_type"]))]),
        )
        for one in result.get("first", [])[:_SHOWN]
    ]
    if not rows:
        return None
    return table("First hits", ("When", "Level", "Hit", "About"), rows, look="roomy")


def _type(kind: str) -> Part:
    return html.Div(kind, className="muted small")


def versions_list(found: Sequence[Row], now: datetime, *, may_write: bool) -> Part:
    """List the texts a rule had, each with what changed and a way back to it."""
    items = []
    for place, row in enumerate(found):
        before = str(found[place + 1]["text"]) if place + 1 < len(found) else ""
        number = int(row["version"])
        back = act_button("Run this again", f"roll-back-{number}") if place and may_write else None
        if back is not None:
            back.id = {"type": "roll-back", "version": number}
        head = [
            pill(f"Version {number}", "good" if not place else "plain"),
            html.Span(str(row["created_by"])[:60], className="muted small"),
            moment(row["created_at"], now),
            back,
        ]
        items.append(
            html.Li(
                [
                    html.Div(head, className="badges"),
                    html.Div(short(str(row["comment"]), 200)) if row["comment"] else None,
                    _diff(before, str(row["text"])) if before else None,
                ],
                className="stack tight",
            )
        )
    return html.Ul(items, className="plain-list incidents-of")


def _diff(before: str, after: str) -> Part:
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), "", "", "", "", 1))
    told = "\n".join(line for line in lines[2:] if not line.startswith("@@"))
    shown = html.Pre(
        "\n".join(told.splitlines()[:_MOST_LINES]) or "the same text",
        className="rule wrap",
        tabIndex=0,
        role="region",
        **{"aria-label": "What changed"},
    )
    return html.Details([html.Summary("What changed"), shown], className="twin")


def waiting(backtest_id: str) -> list[Part]:
    """Give what asks again until a back-test is done."""
    return [
        dcc.Store(id="past-id", data=backtest_id),
        dcc.Interval(id="past-tick", interval=1_000),
    ]
