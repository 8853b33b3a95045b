"""List vendors; a detail beside the list tells whose bank account changed when, and by whom."""

from datetime import datetime
from typing import Any, Final

import dash_mantine_components as dmc
from dash import ClientsideFunction, Input, Output, State, dcc, html, no_update

from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import vendors as read
from dashboards.read.names import key_of
from dashboards.read.payments import PaymentFilter
from dashboards.read.vendors import ONLY, Detail, VendorFilter
from dashboards.shell import URL
from dashboards.ui.cards import figure_card, panel
from dashboards.ui.controls import drawer, segmented
from dashboards.ui.events import counted
from dashboards.ui.grid import column, row_grid
from dashboards.ui.icons import icon
from dashboards.ui.lists import Moment, history, key_values
from dashboards.ui.marks import count_of, level_badge, moment, mono, said_time, short
from dashboards.ui.panels import head, money, pill, sums, table, unbroken
from dashboards.ui.payment_parts import status_pill
from dashboards.ui.states import Part, empty, problem_box
from storage.errors import InvalidInput, NotFound
from storage.tenant import Scope

PAGE: Final = Page(
    path="/vendors",
    title="Vendors",
    grant="erp:read",
    why="Vendors are whom the company pays.",
    icon="vendors",
    nav=1,
    group="Business",
)
_COLUMNS: Final = (
    column("level", "State", 128, "pillCell", cellDataType=False, sortable=False),
    column("title", "Vendor", 240, "goCell", minWidth=210) | {"flex": 3},
    column("open", "Open invoices", 132, type="rightAligned", sortable=False),
    column("waiting", "To be paid", 132, type="rightAligned", sortable=False),
    column("held", "On hold", 148, type="rightAligned", sortable=False),
    column("findings", "Findings", 100, type="rightAligned"),
    column("changed", "Changed", 110, "textCell", sortable=False)
    | {"headerTooltip": "When the bank account was changed last"},
    column("account", "Bank account", 150, "monoCell", sortable=False, minWidth=110) | {"flex": 2},
)
CONFIRMED: Final = {
    "none": "not confirmed",
    "phone": "confirmed by telephone",
    "letter": "confirmed by letter",
    "declared": "declared",
}


def layout(view: View) -> Part:
    """Give the vendors as the URL asks for them, and the one that is open."""
    console, scope, wanted = view.console, view.scope, VendorFilter.read(view.search)
    return html.Div(
        [
            head("Vendors", "Whom the company pays, and what changed about where the money goes."),
            html.Div(_figures(console, scope), className="figures four flat"),
            html.Div(
                [
                    dmc.TextInput(
                        id="vendors-q",
                        value=wanted.q,
                        placeholder="Search name, id or bank account",
                        debounce=400,
                        className="control wide",
                        leftSection=icon("search"),
                        **{"aria-label": "Search vendors"},
                    ),
                    segmented("vendors-only", "Which vendors", ONLY, wanted.only),
                ],
                className="controls",
                role="search",
                **{"aria-label": "Filter vendors"},
            ),
            html.Div(_list(console, scope, wanted), id="vendors-list", className="stack"),
            drawer(
                "vendors-drawer",
                "Vendor",
                _detail(console, scope, wanted.vendor),
                is_open=wanted.vendor != "",
            ),
            dcc.Store(id="vendors-shown", data=[wanted.q, wanted.only]),
        ]
    )


def _figures(console: Console, scope: Scope) -> list[Part]:
    found = read.totals(console.database, scope, console.now())
    by_status: dict[str, list[dict[str, Any]]] = {}
    for row in found["money"]:
        by_status.setdefault(str(row["status"]), []).append(row)
    waiting = [*by_status.get("proposed", []), *by_status.get("approved", [])]
    held = by_status.get("held", [])
    return [
        figure_card("Vendors", count_of(int(found["vendors"])), period="in the ledger"),
        figure_card("To be paid", unbroken(sums(waiting)), period="proposed and approved payments"),
        figure_card(
            "On hold",
            unbroken(sums(held)),
            period=counted(sum(int(r["payments"]) for r in held), "payment"),
            href="/payments?status=held",
            look="critical" if held else "",
        ),
        figure_card(
            "Accounts changed in 30 days",
            count_of(int(found["changed"])),
            period=f"{count_of(int(found['unconfirmed']))} without confirmation",
            href="/vendors?only=unconfirmed",
            look="medium" if found["unconfirmed"] else "",
        ),
    ]


def _list(console: Console, scope: Scope, wanted: VendorFilter) -> Part:
    found = read.vendors(console.database, scope, wanted)
    if not found and wanted.only == "all" and not wanted.q:
        why = "Vendors come from the ERP: by its commands (POST /v1/vendors) or the demo."
        return html.Section(empty("No vendor yet", why), className="card")
    if not found:
        none = empty("No vendor fits", "Take the filter away to see all of them.")
        return html.Section(none, className="card")
    now = console.now()
    grid = row_grid("vendors-grid", "Vendors", _COLUMNS, [_row(v, wanted, now) for v in found])
    return html.Section(grid, className="card flush", **{"aria-label": "List of vendors"})


def _row(found: dict[str, Any], wanted: VendorFilter, now: datetime) -> dict[str, Any]:
    opened = VendorFilter(wanted.q, wanted.only, str(found["vendor_id"]))
    currency = str(found["currency"])

    def amount(name: str) -> str:
        return money(int(found[name]), currency) if found[name] else ""

    changed = found["bank_changed_at"]
    return {
        "id": found["vendor_id"],
        "level": _state(found),
        "title": found["name"],
        "href": opened.search(),
        "under": f"{found['vendor_id']} {amount('held_cents') or amount('open_cents')}",
        "open": amount("open_cents"),
        "waiting": amount("waiting_cents"),
        "held": amount("held_cents"),
        "findings": int(found["findings"]),
        "account": found["bank_account"],
        "changed": said_time(changed, now) if changed else "never",
    }


def _state(found: dict[str, Any]) -> dict[str, str]:
    if found["held"]:
        return {"words": "Held", "look": "critical", "icon": "hold"}
    if found["bank_changed_at"] is not None and found["confirmation"] == "none":
        return {"words": "Unconfirmed", "look": "medium"}
    if found["findings"]:
        return {"words": "Findings", "look": "high", "icon": "findings"}
    return {"words": "Quiet", "look": "plain"}


def _detail(console: Console, scope: Scope, vendor_id: str) -> Part:
    if not vendor_id:
        return None
    now = console.now()
    try:
        found = read.detail(console.database, scope, vendor_id, now)
    except (NotFound, InvalidInput) as error:
        return problem_box(str(error))
    return html.Div(
        [
            _who(found, now),
            _accounts(found, now),
            _findings(found, now),
            _payments(found, now),
            _invoices(found, now),
        ],
        className="stack",
    )


def _who(found: Detail, now: datetime) -> Part:
    vendor = found.vendor
    name = str(vendor["name"])
    return html.Div(
        [
            html.Div(
                [
                    html.H2(name),
                    dcc.Link(
                        [icon("graph"), "Everything about it"],
                        href=key_of("vendor", str(vendor["vendor_id"])).path,
                        className="button second",
                    ),
                ],
                className="page-head",
            ),
            key_values(
                [
                    ("Id", mono(str(vendor["vendor_id"]))),
                    ("Address", str(vendor["address"])),
                    ("Writes from", mono(str(vendor["domain"]) or "not said")),
                    ("Paid to", mono(str(vendor["bank_account"]))),
                    ("Created", html.Span([moment(vendor["created_at"], now), _by(vendor)])),
                ]
            ),
        ],
        className="stack tight",
    )


def _by(vendor: dict[str, Any]) -> str:
    return f" by {vendor['created_by']}"


def _accounts(found: Detail, now: datetime) -> Part:
    """Tell the accounts the vendor had: from the trail, else from the vendor's own row."""
    told = [_told(entry) for entry in found.history if entry["action"] == "vendor.bank_change"]
    vendor = found.vendor
    if not told and vendor["bank_changed_at"] is not None:
        told = [
            Moment(
                vendor["bank_changed_at"],
                _change(vendor["previous_bank_account"], vendor["bank_account"]),
                _how(vendor["bank_changed_by"], vendor["confirmation"], vendor["confirmed_by"]),
                "money",
                "" if vendor["confirmation"] != "none" else "high",
            )
        ]
    if not told:
        said = html.P("It was never changed since the vendor was created.", className="muted")
        return panel("Bank account", said)
    return panel("Bank account", history("Changes of the bank account", told, now))


def _told(entry: dict[str, Any]) -> Moment:
    detail = entry["detail"] if isinstance(entry["detail"], dict) else {}
    pair = detail.get("bank_account")
    before, after = pair if isinstance(pair, list) and len(pair) == 2 else ("", "")
    how = str(detail.get("confirmation", "none"))
    who = str(detail.get("on_behalf_of") or str(entry["actor"]).partition(":")[2])
    return Moment(
        entry["at"],
        _change(before, after),
        _how(who, how, str(detail.get("confirmed_by", ""))),
        "money",
        "" if how != "none" else "high",
    )


def _change(before: object, after: object) -> Part:
    return html.Span([mono(str(before or "none")), " to ", mono(str(after or "none"))])


def _how(who: object, how: object, confirmed_by: object) -> Part:
    said = CONFIRMED.get(str(how), str(how))
    look = "medium" if str(how) == "none" else "good"
    by = f" by {confirmed_by}" if confirmed_by else ""
    return html.Span([f"changed by {who} ", pill(said + by, look)])


def _findings(found: Detail, now: datetime) -> Part:
    if found.findings is None:
        return None
    if not found.findings:
        said = html.P("Nothing was claimed about this vendor.", className="muted")
        return panel("Findings", said)
    rows = [
        (
            level_badge(str(f["level"])),
            dcc.Link(short(str(f["title"]), 80), href=f"/finding/{f['finding_id']}"),
            moment(f["time"], now),
        )
        for f in found.findings
    ]
    return panel("Findings", table("Findings about it", ("Level", "Claim", "When"), rows))


def _payments(found: Detail, now: datetime) -> Part:
    if not found.payments:
        return panel("Payments", html.P("None yet.", className="muted"))
    rows = [
        (
            status_pill(str(p["status"])),
            dcc.Link(short(str(p["payment_id"]), 40), href=_payment(str(p["payment_id"]))),
            money(int(p["amount_cents"]), str(p["currency"])),
            str(p["created_by"]),
            moment(p["created_at"], now),
        )
        for p in found.payments
    ]
    heads = ("State", "Payment", "Amount", "Proposed by", "When")
    return panel("Payments", table("Payments to it", heads, rows, numbers=(2,)))


def _payment(payment_id: str) -> str:
    return "/payments" + PaymentFilter(payment=payment_id).search()


def _invoices(found: Detail, now: datetime) -> Part:
    if not found.invoices:
        return panel("Invoices", html.P("None yet.", className="muted"))
    rows = [
        (
            pill("Approved", "good") if i["status"] == "approved" else pill("Issued"),
            html.Span(short(str(i["invoice_id"]), 40)),
            money(int(i["amount_cents"]), str(i["currency"])),
            str(i["approved_by"] or i["created_by"]),
            moment(i["created_at"], now),
        )
        for i in found.invoices
    ]
    heads = ("State", "Invoice", "Amount", "By", "When")
    return panel("Invoices", table("Invoices of it", heads, rows, numbers=(2,)))


def register(console: Console) -> None:
    """Register what happens when a filter moves or the URL changes."""

    def to_url(scope: Scope, q: str | None, only: str | None, search: str | None) -> Any:  # noqa: ANN401, ARG001  Dash's own values
        after = VendorFilter.read(VendorFilter((q or "").strip(), only or "all").search())
        before = VendorFilter.read(search or "")
        is_same = (after.q, after.only) == (before.q, before.only)
        return no_update if is_same else after.search()

    console.scoped_callback(
        Output(URL, "search", allow_duplicate=True),
        Input("vendors-q", "value"),
        Input("vendors-only", "value"),
        State(URL, "search"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(to_url)

    def from_url(scope: Scope, search: str | None, shown: Any) -> tuple[Any, ...]:  # noqa: ANN401  Dash's own values
        wanted = VendorFilter.read(search or "")
        inside, is_open = _detail(console, scope, wanted.vendor), wanted.vendor != ""
        asked = [wanted.q, wanted.only]
        if shown == asked:
            return no_update, no_update, no_update, inside, is_open, no_update
        listed = _list(console, scope, wanted)
        return listed, wanted.q, wanted.only, inside, is_open, asked

    console.scoped_callback(
        Output("vendors-list", "children"),
        Output("vendors-q", "value"),
        Output("vendors-only", "value"),
        Output("vendors-drawer-body", "children"),
        Output("vendors-drawer", "opened"),
        Output("vendors-shown", "data"),
        Input(URL, "search"),
        State("vendors-shown", "data"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(from_url)
    console.dash.clientside_callback(
        ClientsideFunction("work", "closeDrawer"),
        Output(URL, "search", allow_duplicate=True),
        Input("vendors-drawer", "opened"),
        State(URL, "search"),
        prevent_initial_call=True,
    )
