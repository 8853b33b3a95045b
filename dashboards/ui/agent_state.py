"""Show what a host's checks say and what is missing in its agent's streams."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from dash import dcc, html

from dashboards.ui.marks import count_of, moment
from dashboards.ui.panels import pill, table
from dashboards.ui.states import Part, empty

Row = dict[str, Any]
_LEVELS: Final = {2: "low", 3: "medium", 4: "high", 5: "critical", 6: "critical"}
_FAULTS: Final = {
    "gap": "Never came",
    "back": "Old numbers again",
    "other": "Same numbers, other rows",
}


def checks_table(
    rows: Sequence[Row], now: datetime, changes: Sequence[Row] = (), *, with_host: bool = False
) -> Part:
    """Show the verdicts, each with how to mend what failed; `changes`: verdicts over time."""
    if not rows:
        return empty("No verdicts", "The agent's collector 'configuration' tells them, on Linux.")
    heads = ("Verdict", *(("Host",) if with_host else ()), "Check", "Since")
    body = [
        (
            verdict(row),
            *((dcc.Link(row["host"], href=f"/agent/{row['agent_id']}"),) if with_host else ()),
            _check(row, [c for c in changes if c["check_uid"] == row["check_uid"]], now),
            moment(row["since"], now),
        )
        for row in rows
    ]
    return table("Configuration checks", heads, body)


def verdict(row: Row) -> Part:
    """Show whether it passed; what failed with how grave that is."""
    if row["is_passed"]:
        return pill("Passed", "good", "check")
    level = _LEVELS.get(int(row["severity_id"]), "medium")
    return pill(f"Failed, {level}", level, "alert")


def _check(row: Row, changes: Sequence[Row], now: datetime) -> Part:
    told: list[Part] = [html.Strong(row["title"] or row["check_uid"])]
    if not row["is_passed"]:
        told += [
            html.Div(row["detail"], className="small"),
            html.Div(row["why"], className="muted small"),
            html.Div(["Mend: ", html.Code(row["fix"], className="wrap")], className="small"),
        ]
    if len(changes) > 1:
        lines = [
            html.Li([verdict(c), " ", c["detail"], " ", moment(c["at"], now)], className="small")
            for c in changes[:20]
        ]
        told.append(html.Details([html.Summary(f"{len(changes)} verdicts"), html.Ul(lines)]))
    return html.Div(told, className="stack tight")


def gaps_table(rows: Sequence[Row], now: datetime) -> Part:
    """Show gaps, with how many rows the agent said that it dropped itself."""
    if not rows:
        return html.P("Every number came, once.", className="muted")
    heads = ("Fault", "Stream", "From", "To", "Records", "Explained", "Seen")
    body = [
        (
            _fault(row),
            html.Code(str(row["source"]).split(":", 2)[-1], className="wrap"),
            count_of(row["first_position"]),
            count_of(row["next_position"] - 1),
            count_of(row["records"]),
            count_of(row["explained"]),
            moment(row["seen_at"], now),
        )
        for row in rows
    ]
    return table("Gaps in the agent's numbers", heads, body, numbers=(2, 3, 4, 5))


def _fault(row: Row) -> Part:
    if row["kind"] == "gap" and row["explained"] >= row["records"]:
        return pill("Dropped by the agent", "plain", "check")
    return pill(_FAULTS.get(str(row["kind"]), "Odd numbers"), "high", "alert")
