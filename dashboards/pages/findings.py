"""List what the detectors claim: figures, histogram, filters, grid."""

from datetime import datetime
from typing import Any, Final

import dash_mantine_components as dmc
from dash import ClientsideFunction, Input, Output, State, ctx, dcc, html, no_update

from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import findings as read
from dashboards.read.filters import RANGES, SORTS, FindingFilter
from dashboards.shell import URL
from dashboards.ui.figures import Bar, figure, histogram
from dashboards.ui.grid import block_grid, column
from dashboards.ui.icons import icon
from dashboards.ui.marks import LEVELS, count_of, exact_time, said_time
from dashboards.ui.states import Part, command, empty
from storage.tenant import Scope

PAGE: Final = Page(
    path="/findings",
    title="Findings",
    grant="findings:read",
    why="Findings are what the detectors claim about your events.",
    icon="findings",
    nav=1,
)
_COLUMNS: Final = (
    column("level", "Level", 138, "levelCell"),
    column("time", "Time (UTC)", 164, "timeCell"),
    column("title", "Finding", 260, "findingCell", flex=3),
    column("entity", "Entity", 170, "textCell", flex=1),
    column("detector", "Detector", 130, "textCell"),
    column("attack", "ATT&CK", 130, "textCell"),
    column("event_count", "Events", 90, type="rightAligned"),
)


def layout(view: View) -> Part:
    """Give the page: the filters as the URL has them, figures and rows as they come."""
    wanted = FindingFilter.read(view.search)
    found = read.overview(view.console.database, view.scope, wanted)
    if not found.everything:
        return _nothing_yet(view.scope)
    offered = read.choices(view.console.database, view.scope)
    return html.Div(
        [
            html.Div([html.H1("Findings"), _sort(wanted)], className="page-head"),
            _controls(wanted, offered),
            html.Div(_overview(found, wanted, view.console.now()), id="findings-overview"),
            html.Section(
                [
                    html.Div(id="findings-none"),
                    block_grid("findings-grid", "Findings", _COLUMNS, read.BLOCK_ROWS),
                ],
                className="card flush",
                **{"aria-label": "List of findings"},
            ),
        ]
    )


def _nothing_yet(scope: Scope) -> Part:
    return html.Div(
        [
            html.H1("Findings"),
            html.Section(
                empty(
                    "No findings yet",
                    "Either no events have arrived, or no detector objects to them. Carry logs in "
                    "with this command on the machine where Inopsio runs; findings show up here "
                    "within seconds.",
                    command(
                        f"inopsio ingest /path/to/logs --tenant {scope.tenant_id}",
                        "Command that carries logs in",
                    ),
                ),
                className="card",
            ),
        ]
    )


def _sort(wanted: FindingFilter) -> Part:
    return dmc.Select(
        id="findings-sort",
        data=[{"value": k, "label": v} for k, v in SORTS.items()],
        value=wanted.sort,
        allowDeselect=False,
        w=180,
        comboboxProps={"transitionProps": {"duration": 0}},
        **{"aria-label": "Order of the findings"},
    )


def _controls(wanted: FindingFilter, offered: dict[str, list[tuple[str, str]]]) -> Part:
    def pick(name: str, label: str, value: str) -> Part:
        data = [{"value": v, "label": words} for v, words in offered[name]]
        if value and value not in {d["value"] for d in data}:
            data.append({"value": value, "label": value})
        return dmc.Select(
            id=f"findings-{name}",
            data=data,
            value=value or None,
            placeholder=label,
            clearable=True,
            searchable=True,
            limit=100,
            className="control",
            clearButtonProps={"aria-label": f"Clear {label.lower()}"},
            comboboxProps={"transitionProps": {"duration": 0}},
            **{"aria-label": label},
        )

    return html.Div(
        [
            dmc.TextInput(
                id="findings-q",
                value=wanted.q,
                placeholder="Search title, entity, rule, technique",
                debounce=400,
                className="control wide",
                leftSection=icon("search"),
                **{"aria-label": "Search findings"},
            ),
            dmc.SegmentedControl(
                id="findings-range",
                data=[{"value": k, "label": v} for k, v in RANGES.items()],
                value=wanted.range,
                size="sm",
                transitionDuration=0,
                **{"aria-label": "Time range"},
            ),
            pick("detector", "Detector", wanted.detector),
            pick("rule", "Rule", wanted.rule),
            pick("entity", "Entity", wanted.entity),
        ],
        className="controls",
        role="search",
        **{"aria-label": "Filter findings"},
    )


def _overview(found: read.Overview, wanted: FindingFilter, now: datetime) -> list[Part]:
    return [
        _figures(found, wanted, now),
        html.Div(_chips(wanted), className="chips"),
        _histogram(found, wanted) if found.buckets else html.Div(),
    ]


def _figures(found: read.Overview, wanted: FindingFilter, now: datetime) -> Part:
    cards = [
        figure(
            "All findings",
            count_of(found.total),
            f"newest {said_time(found.last, now)}" if found.last else "none match",
            [b.total for b in found.buckets],
            href=PAGE.path + wanted.but(level=()).search(),
        )
    ]
    for level in LEVELS:
        count = found.by_level.get(level, 0)
        share = f"{100 * count / found.total:.0f} % of these" if found.total else "none"
        cards.append(
            figure(
                level.capitalize(),
                count_of(count),
                share,
                [b.by_level.get(level, 0) for b in found.buckets],
                level,
                PAGE.path + wanted.but(level=(level,)).search(),
            )
        )
    return html.Div(cards, className="figures")


def _chips(wanted: FindingFilter) -> list[Part]:
    told: list[tuple[str, FindingFilter]] = [
        (f"Level: {level}", wanted.but(level=tuple(x for x in wanted.level if x != level)))
        for level in wanted.level
    ]
    told += [
        (f"{words}: {getattr(wanted, name)}", wanted.but(**{name: ""}))
        for name, words in (
            ("detector", "Detector"),
            ("rule", "Rule"),
            ("entity", "Entity"),
            ("q", "Text"),
        )
        if getattr(wanted, name)
    ]
    if wanted.since or wanted.until:
        words = f"{wanted.since[:16] or '…'} to {wanted.until[:16] or '…'}"
        told.append((f"Time: {words}", wanted.but(since="", until="")))
    chips = [
        dcc.Link(
            [html.Span(words), icon("close", "remove this filter")],
            href=PAGE.path + rest.search(),
            className="chip",
        )
        for words, rest in told
    ]
    if len(chips) > 1:
        chips.append(dcc.Link("Clear all", href=PAGE.path, className="chip clear"))
    return chips


def _histogram(found: read.Overview, wanted: FindingFilter) -> Part:
    bars = [
        Bar(
            f"{b.since:%Y-%m-%d %H:%M}",
            b.by_level,
            PAGE.path
            + wanted.but(
                since=f"{b.since:%Y-%m-%dT%H:%M}", until=f"{b.until:%Y-%m-%dT%H:%M}"
            ).search(),
        )
        for b in found.buckets
    ]
    top = max(found.buckets, key=lambda b: b.total)
    first, last = found.first, found.last
    span = f"{exact_time(first)[:16]} to {exact_time(last)[:16]} UTC" if first and last else ""
    return histogram(
        "Findings over time",
        f"{count_of(found.total)} from {span}; most at {top.since:%Y-%m-%d %H:%M}: "
        f"{count_of(top.total)}. Click a bar to look closer.",
        bars,
        f"{found.buckets[0].since:%Y-%m-%d %H:%M}",
        f"{found.buckets[-1].until:%Y-%m-%d %H:%M} UTC",
    )


def register(console: Console) -> None:
    """Register what happens when a filter moves, the URL changes, or the grid wants rows."""
    _filters_to_url(console)
    _url_to_page(console)
    _rows_to_grid(console)


def _filters_to_url(console: Console) -> None:
    def to_url(scope: Scope, *values: Any) -> Any:  # noqa: ANN401, ARG001  Dash's own values
        q, chosen, detector, rule, entity, sort, search = values
        before = FindingFilter.read(search or "")
        after = before.but(
            q=(q or "").strip(),
            range=chosen,
            detector=detector or "",
            rule=rule or "",
            entity=entity or "",
            sort=sort,
        )
        if ctx.triggered_id == "findings-range":
            after = after.but(since="", until="")
        after = FindingFilter.read(after.search())
        return no_update if after == before else after.search()

    console.scoped_callback(
        Output(URL, "search"),
        Input("findings-q", "value"),
        Input("findings-range", "value"),
        Input("findings-detector", "value"),
        Input("findings-rule", "value"),
        Input("findings-entity", "value"),
        Input("findings-sort", "value"),
        State(URL, "search"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(to_url)


def _url_to_page(console: Console) -> None:
    def from_url(scope: Scope, search: str | None) -> tuple[Any, ...]:
        wanted = FindingFilter.read(search or "")
        found = read.overview(console.database, scope, wanted)
        none = [] if found.total else _none_match()
        return (
            _overview(found, wanted, console.now()),
            none,
            wanted.q,
            wanted.range,
            wanted.detector or None,
            wanted.rule or None,
            wanted.entity or None,
        )

    console.scoped_callback(
        Output("findings-overview", "children"),
        Output("findings-none", "children"),
        Output("findings-q", "value"),
        Output("findings-range", "value"),
        Output("findings-detector", "value"),
        Output("findings-rule", "value"),
        Output("findings-entity", "value"),
        Input(URL, "search"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(from_url)


def _rows_to_grid(console: Console) -> None:
    def rows(scope: Scope, asked: dict[str, Any] | None, search: str | None) -> Any:  # noqa: ANN401  Dash's own values
        if not asked:
            return no_update
        start, end = int(asked.get("startRow", 0)), int(asked.get("endRow", 0))
        wanted = FindingFilter.read(search or "")
        found, total = read.block(console.database, scope, wanted, start, end)
        return {"rowData": [_row(r) for r in found], "rowCount": total}

    console.scoped_callback(
        Output("findings-grid", "getRowsResponse"),
        Input("findings-grid", "getRowsRequest"),
        State(URL, "search"),
        grant=PAGE.grant,
    )(rows)
    console.dash.clientside_callback(
        ClientsideFunction("inopsio", "refreshGrid"),
        Output("findings-grid", "className"),
        Input(URL, "search"),
        State("findings-grid", "id"),
        prevent_initial_call=True,
    )


def _none_match() -> Part:
    return empty(
        "No finding matches",
        "The filters above let nothing through. Remove one, or widen the time range.",
        dcc.Link("Clear all filters", href=PAGE.path, className="button"),
    )


def _row(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": found["finding_id"],
        "level": found["level"],
        "time": found["time"].isoformat(),
        "title": found["title"],
        "entity": found["entity"],
        "detector": found["detector"],
        "attack": ", ".join(found["attack"]),
        "event_count": found["event_count"],
    }
