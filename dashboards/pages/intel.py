"""Show what others call hostile, which feeds bring it, and where it was seen."""

from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

import dash_mantine_components as dmc
from dash import Input, Output, html, no_update

from dashboards.console import Console
from dashboards.feeds import add_button, feed_panels
from dashboards.feeds import register as register_feeds
from dashboards.pages import Page, View
from dashboards.shell import URL
from dashboards.ui.cards import figure_card, panel
from dashboards.ui.marks import count_of, exact_time, moment, short
from dashboards.ui.panels import head, pill, table
from dashboards.ui.states import Part, command, empty
from storage.indicators import find_indicators, indicator_feeds, sightings
from storage.tenant import Scope

PAGE: Final = Page(
    path="/intel",
    title="Intelligence",
    grant="findings:read",
    why="Intelligence is what others have seen attackers use.",
    icon="rules",
    nav=3,
    group="Detection",
)
_SHOWN: Final = 100
Row = dict[str, Any]


def layout(view: View) -> Part:
    """Give feeds and sightings, and the indicators that hold the text asked for."""
    console, scope = view.console, view.scope
    text = parse_qs(view.search.lstrip("?")).get("q", [""])[0][:200]
    with console.database.app(scope) as tx:
        feeds = indicator_feeds(scope, tx)
        seen = sightings(scope, tx, _SHOWN)
        found = find_indicators(scope, tx, text, None, _SHOWN) if feeds else []
    said = "What feeds call hostile, and where your events met it."
    top = head("Intelligence", said, add_button(scope))
    beside = feed_panels(console, scope)
    if not feeds:
        how = f"inopsio intel import FILE --tenant {scope.tenant_id}"
        words = "Add a feed that is polled, or bring in a STIX bundle or a CSV of indicators:"
        nothing = empty("No indicators yet", words, command(how, "Command to paste"))
        return html.Div([top, html.Section(nothing, className="card"), *beside], className="stack")
    now = console.now()
    total = sum(int(f["indicators"]) for f in feeds)
    expired = sum(int(f["expired"]) for f in feeds)
    hits = sum(int(s["sightings"]) for s in seen)
    return html.Div(
        [
            top,
            html.Div(
                [
                    figure_card("Indicators", count_of(total), period=f"of {len(feeds)} feeds"),
                    figure_card("Expired", count_of(expired), period="met no more"),
                    figure_card("Seen", count_of(len(seen)), period="indicators met by events"),
                    figure_card(
                        "Sightings", count_of(hits), period="claims", href=_claims("indicators")
                    ),
                ],
                className="figures four",
            ),
            html.Div(
                [
                    html.Div([_seen(seen, now), _indicators(found, text, now)], className="stack"),
                    html.Div([*beside, _feeds(feeds, now)], className="stack"),
                ],
                className="split wide-side",
            ),
        ]
    )


def _claims(detector: str) -> str:
    return f"/findings?{urlencode({'detector': detector, 'kind': 'all'})}"


def _seen(seen: list[Row], now: datetime) -> Part:
    rows = [
        (
            html.Code(short(str(s["value"]), 80), className="mono"),
            str(s["feed"]),
            count_of(int(s["sightings"])),
            count_of(int(s["entities"])),
            moment(s["last_time"], now),
        )
        for s in seen
    ]
    if not rows:
        return panel("Sightings", empty("Nothing was met", "No event named an indicator so far."))
    heads = ("Indicator", "Feed", "Times", "Entities", "Last")
    return panel("Sightings", table("Sightings", heads, rows, numbers=(2, 3), look="roomy"))


def _indicators(found: list[Row], text: str, now: datetime) -> Part:
    rows = [
        (
            pill(str(i["type"])),
            html.Code(short(str(i["value"]), 80), className="mono"),
            str(i["feed"]),
            count_of(int(i["confidence"])),
            _until(i["valid_until"], now),
        )
        for i in found
    ]
    search = dmc.TextInput(
        id="intel-text",
        value=text,
        debounce=400,
        placeholder="Search a value",
        **{"aria-label": "Search a value"},
    )
    heads = ("Type", "Value", "Feed", "Confidence", "Valid until")
    shown = table("Indicators", heads, rows, numbers=(3,), look="roomy")
    said = f"The first {_SHOWN} by value." if len(rows) == _SHOWN else ""
    body = shown if rows else html.P("No indicator holds this text.", className="muted")
    return panel("Indicators", html.Div([search, body], className="stack"), said=said)


def _until(until: datetime | None, now: datetime) -> Part:
    if until is None:
        return html.Span("no end", className="muted")
    words = exact_time(until)[:10]
    return pill(f"ended {words}", "medium") if until <= now else words


def _feeds(feeds: list[Row], now: datetime) -> Part:
    rows = [
        (str(f["feed"])[:80], count_of(int(f["indicators"])), moment(f["changed_at"], now))
        for f in feeds
    ]
    return panel("Feeds", table("Feeds", ("Feed", "Indicators", "Changed"), rows, numbers=(1,)))


def register(console: Console) -> None:
    """Register the search, whose text stands in the URL, and what can be done with feeds."""
    register_feeds(console)

    def search(scope: Scope, text: Any) -> Any:  # noqa: ANN401  Dash's own values
        scope.require(PAGE.grant)
        if text is None:
            return no_update
        wanted = str(text)[:200]
        return f"?{urlencode({'q': wanted})}" if wanted else ""

    console.scoped_callback(
        Output(URL, "search", allow_duplicate=True),
        Input("intel-text", "value"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(search)
