"""Show feeds that are polled with what can be done about them, and searches of the past."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import dash_mantine_components as dmc
from dash import html

from dashboards.ui.brush import said_count
from dashboards.ui.controls import act_button, dialog
from dashboards.ui.marks import count_of, moment, mono, short
from dashboards.ui.panels import pill
from dashboards.ui.states import Part

Row = dict[str, Any]
KINDS: Final = {
    "taxii": "TAXII 2.1 collection",
    "misp": "MISP feed",
    "stix": "STIX 2.1 bundle",
    "csv": "CSV of indicators",
}
AUTHS: Final = {
    "none": "No secret",
    "basic": "Name and password, as name:password",
    "bearer": "Bearer token",
    "key": "Bare key (MISP)",
}
DIALOG: Final = "feed-dialog"
_PLAIN: Final = {"transitionProps": {"duration": 0}}


def subscription_list(found: Sequence[Row], now: datetime, *, may_write: bool) -> Part:
    """List the feeds that are polled: state, last result or error, and what can be done."""
    if not found:
        words = "Nothing is polled yet; indicators come by import and API alone."
        return html.P(words, className="muted")
    items = [
        html.Li(
            [
                html.Div(
                    [
                        html.Strong(short(str(row["feed"]), 60)),
                        pill(KINDS[row["kind"]]),
                        _state(row),
                    ],
                    className="badges",
                ),
                mono(short(str(row["url"]), 90)),
                _told(row, now),
                html.Div(_acts(row), className="actions") if may_write else None,
            ],
            className="stack tight break-words",
        )
        for row in found
    ]
    return html.Ul(items, className="plain-list roomy-list")


def _state(row: Row) -> Part:
    if row["paused"]:
        return pill("Paused")
    if row["is_polling"]:
        return pill("Polling now", "low")
    if row["last_error"]:
        return pill("Failed", "high", "alert")
    return pill("Polled", "good", "check") if row["polled_at"] else pill("Due")


def _told(row: Row, now: datetime) -> Part:
    every = f"Every {count_of(int(row['every_minutes']))} min"
    if row["polled_at"] is None:
        return html.P(f"{every}; not polled yet.", className="muted small")
    when = [f"{every}; last ", moment(row["polled_at"], now)]
    if row["last_error"]:
        why = html.P(short(str(row["last_error"]), 300), className="bad small")
        again = [". Tried again ", _due(row["due_at"], now), "."] if not row["paused"] else ["."]
        return html.Div([why, html.P([*when, *again], className="muted small")])
    result = row["last_result"] or {}
    said = f": {said_count(int(result.get('indicators', 0)), 'indicator')} brought"
    refused = int(result.get("refused", 0))
    told = [html.P([*when, f"{said}, {count_of(refused)} refused."], className="muted small")]
    if refused:
        reasons = [html.Li(short(str(one), 200)) for one in result.get("reasons", [])]
        words = html.Summary("Why the first were refused")
        told.append(html.Details([words, html.Ul(reasons, className="small")], className="twin"))
    return html.Div(told)


def _due(due: datetime, now: datetime) -> str:
    minutes = max(0, int((due - now).total_seconds() // 60))
    if minutes < 1:
        return "within a minute"
    return f"in {minutes} min" if minutes < 120 else f"in {minutes // 60} h"


def _acts(row: Row) -> list[Part]:
    offered = [("resume", "Let it run"), ("drop", "Drop")]
    if not row["paused"]:
        offered = [("poll", "Poll now"), ("pause", "Pause")]
    acts = []
    for act, words in offered:
        button = act_button(words)
        button.id = {"type": "feed-act", "act": act, "feed": str(row["feed"])}
        setattr(button, "aria-label", f"{words}: {str(row['feed'])[:60]}")
        acts.append(button)
    return acts


def match_list(found: Sequence[Row], now: datetime) -> Part:
    """List searches of the past: how far they are, and what they found."""
    if not found:
        words = "When new indicators come, the last 90 days are searched for them by themselves."
        return html.P(words, className="muted")
    items = [
        html.Li(
            [
                html.Div([_match_state(row), moment(row["created_at"], now)], className="badges"),
                html.P(_match_words(row), className="small"),
            ],
            className="stack tight",
        )
        for row in found
    ]
    return html.Ul(items, className="plain-list roomy-list")


def _match_state(row: Row) -> Part:
    if row["status"] == "done":
        met = int(row["findings"])
        return pill("Met", "high", "alert") if met else pill("Nothing met", "good", "check")
    words = {"queued": "Waits", "running": "Searching", "failed": "Not done"}[row["status"]]
    return pill(words, "high" if row["status"] == "failed" else "low")


def _match_words(row: Row) -> str:
    if row["status"] == "failed":
        return short(str(row["reason"]), 300)
    if row["status"] == "queued":
        return "The search begins when no more have come for 20 seconds."
    found, of = said_count(int(row["findings"]), "new finding"), int(row["indicators"])
    told = f"{found} of {said_count(of, 'indicator')} in {count_of(int(row['events']))} events"
    if row["status"] == "running":
        return f"{told}; {_days_done(row)} of {row['days']} days are searched."
    return f"{told} of {row['days']} days."


def _days_done(row: Row) -> int:
    reached = row["reached"]
    return 0 if reached is None else int((row["until"] - reached.astimezone(UTC)).days)


def feed_dialog() -> Part:
    """Ask for what is needed to poll a feed."""
    return dialog(
        DIALOG,
        "Add a feed",
        html.Div(
            [
                dmc.TextInput(id="feed-name", label="Name", placeholder="partner-isac"),
                _pick("feed-kind", "Kind", KINDS, "taxii"),
                dmc.TextInput(
                    id="feed-url",
                    label="Address",
                    placeholder="https://taxii.example/taxii2/",
                    description="TAXII server or API root, folder of the MISP feed, or the file",
                ),
                dmc.TextInput(
                    id="feed-collection",
                    label="Collection",
                    description="Of TAXII: id, alias or title; empty if there is only one",
                ),
                _pick("feed-auth", "Secret", AUTHS, "none"),
                dmc.PasswordInput(
                    id="feed-secret",
                    label="The secret itself",
                    description="Kept encrypted; it is not shown again",
                    visibilityToggleButtonProps={"aria-label": "Show the secret"},
                ),
                dmc.NumberInput(
                    id="feed-every", label="Minutes from poll to poll", value=60, min=5, max=10080
                ),
                html.Div(id="feed-said", **{"aria-live": "polite"}),
                html.Div(
                    act_button("Add the feed", "feed-add", "check", second=False),
                    className="actions end",
                ),
            ],
            className="stack",
        ),
    )


def _pick(name: str, label: str, offered: dict[str, str], value: str) -> Part:
    return dmc.Select(
        id=name,
        label=label,
        data=[{"value": k, "label": v} for k, v in offered.items()],
        value=value,
        allowDeselect=False,
        comboboxProps=_PLAIN,
    )
