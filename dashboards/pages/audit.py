"""Show the audit trail: who did what to what, when, how it ended; nothing can be edited."""

import json
from typing import Any, Final

import dash_mantine_components as dmc
from dash import ClientsideFunction, Input, Output, State, html, no_update

from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import audit as read
from dashboards.read.audit import RANGES, RESULTS, AuditFilter
from dashboards.shell import URL
from dashboards.ui.cards import panel
from dashboards.ui.controls import drawer
from dashboards.ui.grid import block_grid, column
from dashboards.ui.icons import icon
from dashboards.ui.lists import key_values
from dashboards.ui.marks import exact_time, mono, short
from dashboards.ui.panels import head, pill, table
from dashboards.ui.states import Part
from storage.errors import NotFound
from storage.tenant import Scope

PAGE: Final = Page(
    path="/audit",
    title="Audit",
    grant="audit:read",
    why="The audit trail tells who did what.",
    icon="audit",
    nav=3,
    group="Platform",
)
_COLUMNS: Final = (
    column("level", "Result", 118, "pillCell", cellDataType=False),
    column("title", "What", 210, "goCell", flex=1),
    column("actor", "Who", 170, "textCell"),
    column("object", "To what", 280, "monoCell", flex=1),
    column("detail", "Detail", 320, "textCell", flex=2),
    column("at", "When (UTC)", 164, "timeCell"),
)
_LOOKS: Final = {
    "done": {"words": "Done", "look": "good"},
    "refused": {"words": "Refused", "look": "high", "icon": "alert"},
    "failed": {"words": "Failed", "look": "critical", "icon": "alert"},
}
_PLAIN: Final = {"transitionProps": {"duration": 0}}
_MOVED: Final = frozenset({"name", "address", "bank_account", "price_cents", "stock", "stage"})
"""Fields of business documents whose change is told as [before, after]."""


def layout(view: View) -> Part:
    """Give the trail as the URL asks for it, and the entry that is open."""
    wanted = AuditFilter.read(view.search)
    return html.Div(
        [
            head(
                "Audit",
                "Every human act, refused ones too. Entries are added and never changed: "
                "the database lets nobody update or delete them.",
            ),
            _controls(view, wanted),
            html.Section(
                block_grid("audit-grid", "Audit trail", _COLUMNS, read.BLOCK_ROWS),
                className="card flush",
                **{"aria-label": "Audit trail"},
            ),
            drawer(
                "audit-drawer",
                "Entry",
                _entry(view.console, view.scope, wanted),
                wanted.entry != "",
            ),
        ]
    )


def _controls(view: View, wanted: AuditFilter) -> Part:
    actors, areas = read.choices(view.console.database, view.scope)

    def pick(name: str, label: str, data: list[dict[str, str]], value: str) -> Part:
        return dmc.Select(
            id=f"audit-{name}",
            data=data,
            value=value or "any",
            allowDeselect=False,
            searchable=len(data) > 8,
            className="control",
            comboboxProps=_PLAIN,
            **{"aria-label": label},
        )

    def offered(words: str, values: list[str], chosen: str) -> list[dict[str, str]]:
        known = sorted({*values, chosen} - {""})
        return [{"value": "any", "label": words}, *({"value": v, "label": v} for v in known)]

    results = [{"value": k or "any", "label": v} for k, v in RESULTS.items()]
    ranges = [{"value": k, "label": v} for k, v in RANGES.items()]
    return html.Div(
        [
            dmc.TextInput(
                id="audit-q",
                value=wanted.q,
                placeholder="Search who, what, to what, detail",
                debounce=400,
                className="control wide",
                leftSection=icon("search"),
                **{"aria-label": "Search the audit trail"},
            ),
            pick("area", "Kind of act", offered("Any act", areas, wanted.area), wanted.area),
            pick("actor", "Who", offered("Anybody", actors, wanted.actor), wanted.actor),
            pick("result", "Result", results, wanted.result),
            pick("range", "Time", ranges, wanted.range),
        ],
        className="controls",
        role="search",
        **{"aria-label": "Filter the audit trail"},
    )


def _entry(console: Console, scope: Scope, wanted: AuditFilter) -> Part:
    if not wanted.entry:
        return None
    try:
        found = read.entry(console.database, scope, wanted.entry)
    except NotFound as error:
        return html.P(str(error), className="muted")
    look = _LOOKS.get(str(found["result"]), {"words": str(found["result"]), "look": "plain"})
    detail = found["detail"] if isinstance(found["detail"], dict) else {"detail": found["detail"]}
    return html.Div(
        [
            key_values(
                [
                    ("What", html.Strong(found["action"])),
                    ("Who", str(found["actor"])),
                    ("To what", mono(str(found["object"])) if found["object"] else ""),
                    ("Result", pill(look["words"], look["look"], look.get("icon", ""))),
                    ("When", exact_time(found["at"])),
                    ("Entry", mono(str(found["entry_id"]))),
                ]
            ),
            _beside(detail),
            _rest(detail),
        ],
        className="stack",
    )


def _beside(detail: dict[str, Any]) -> Part:
    """Show before and after side by side where the entry tells both."""
    before, after = _pairs(detail)
    if not before and not after:
        return None
    names = sorted({*before, *after})
    rows = [(name, _said(before.get(name)), _said(after.get(name))) for name in names]
    return panel("What changed", table("Before and after", ("Field", "Before", "After"), rows))


def _pairs(detail: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give what was and what is: told whole, or field by field as [before, after]."""
    before, after = detail.get("before"), detail.get("after")
    if isinstance(before, dict) and isinstance(after, dict):
        return before, after
    moved = {k: v for k, v in detail.items() if k in _MOVED and isinstance(v, list)}
    told = {k: v for k, v in moved.items() if len(v) == 2}
    return {k: v[0] for k, v in told.items()}, {k: v[1] for k, v in told.items()}


def _rest(detail: dict[str, Any]) -> Part:
    before, _ = _pairs(detail)
    beside = {"before", "after", *before} if before else set()
    rest = {k: v for k, v in detail.items() if k not in beside}
    if not rest:
        return html.P("Nothing more was noted.", className="muted small")
    return panel("Detail", key_values([(name, mono(_said(v))) for name, v in rest.items()]))


def _said(value: object) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _row(found: dict[str, Any], wanted: AuditFilter) -> dict[str, Any]:
    detail = found["detail"] if isinstance(found["detail"], dict) else {}
    told = ", ".join(f"{name}: {_said(value)}" for name, value in detail.items())
    opened = AuditFilter(
        wanted.q, wanted.area, wanted.actor, wanted.result, wanted.range, str(found["entry_id"])
    )
    return {
        "id": found["entry_id"],
        "level": _LOOKS.get(str(found["result"]), {"words": str(found["result"])}),
        "title": found["action"],
        "href": opened.search(),
        "under": f"{found['actor']} {found['object']}",
        "actor": found["actor"],
        "object": short(str(found["object"]), 200),
        "detail": short(told, 240),
        "at": found["at"].isoformat(),
    }


def register(console: Console) -> None:
    """Register what happens when a filter moves, the URL changes, or the grid wants rows."""

    def to_url(scope: Scope, *values: Any) -> Any:  # noqa: ANN401, ARG001  Dash's own values
        q, area, actor, result, span, search = values
        asked = AuditFilter((q or "").strip(), _any(area), _any(actor), _any(result), span or "all")
        after, before = AuditFilter.read(asked.search()), AuditFilter.read(search or "")
        same = after.params(console.now())
        is_same = {**same, "since": None} == {**before.params(console.now()), "since": None}
        return no_update if is_same and after.range == before.range else after.search()

    console.scoped_callback(
        Output(URL, "search", allow_duplicate=True),
        *(Input(f"audit-{n}", "value") for n in ("q", "area", "actor", "result", "range")),
        State(URL, "search"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(to_url)

    def from_url(scope: Scope, search: str | None) -> tuple[Any, ...]:
        wanted = AuditFilter.read(search or "")
        return _entry(console, scope, wanted), wanted.entry != ""

    console.scoped_callback(
        Output("audit-drawer-body", "children"),
        Output("audit-drawer", "opened"),
        Input(URL, "search"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(from_url)

    def rows(scope: Scope, asked: dict[str, Any] | None, search: str | None) -> Any:  # noqa: ANN401  Dash's own values
        if not asked:
            return no_update
        start, end = int(asked.get("startRow", 0)), int(asked.get("endRow", 0))
        wanted = AuditFilter.read(search or "")
        found, total = read.block(console.database, scope, wanted, console.now(), start, end)
        return {"rowData": [_row(r, wanted) for r in found], "rowCount": total}

    console.scoped_callback(
        Output("audit-grid", "getRowsResponse"),
        Input("audit-grid", "getRowsRequest"),
        State(URL, "search"),
        grant=PAGE.grant,
    )(rows)
    console.dash.clientside_callback(
        ClientsideFunction("work", "refreshUnlessOpened"),
        Output("audit-grid", "className"),
        Input(URL, "search"),
        State("audit-grid", "id"),
        prevent_initial_call=True,
    )
    console.dash.clientside_callback(
        ClientsideFunction("work", "closeDrawer"),
        Output(URL, "search", allow_duplicate=True),
        Input("audit-drawer", "opened"),
        State(URL, "search"),
        prevent_initial_call=True,
    )


def _any(value: str | None) -> str:
    return "" if value in {None, "any"} else str(value)
