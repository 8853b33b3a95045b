"""Show payments: those on hold first, each with the chain that holds it; release by another."""

from typing import Any, Final

import dash_mantine_components as dmc
from dash import ClientsideFunction, Input, Output, State, ctx, dcc, html, no_update

from business import erp
from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import payments as read
from dashboards.read.payments import STATUS, PaymentFilter
from dashboards.shell import URL
from dashboards.ui.cards import figure_card
from dashboards.ui.controls import drawer, filter_chip, segmented
from dashboards.ui.events import counted
from dashboards.ui.grid import block_grid, column
from dashboards.ui.icons import icon
from dashboards.ui.panels import head, money, sums, unbroken
from dashboards.ui.payment_parts import RELEASE, hold_card, payment_detail
from dashboards.ui.states import Part, problem_box
from dashboards.ui.toasts import TOASTS, toast
from storage.audit import write_audit
from storage.errors import InvalidInput, NotAllowed, NotFound
from storage.tenant import Scope

PAGE: Final = Page(
    path="/payments",
    title="Payments",
    grant="erp:read",
    why="Payments are the money that leaves the company.",
    icon="payments",
    nav=2,
    group="Business",
)
_COLUMNS: Final = (
    column("level", "State", 124, "pillCell", cellDataType=False),
    column("title", "To", 220, "goCell", minWidth=170) | {"flex": 2},
    column("amount", "Amount", 150, type="rightAligned"),
    column("invoice", "Invoice", 130, "monoCell"),
    column("created_by", "Proposed by", 122, "textCell"),
    column("approved_by", "Approved by", 122, "textCell"),
    column("why", "Held because", 180, "textCell", minWidth=120) | {"flex": 2},
    column("at", "Proposed (UTC)", 174, "timeCell"),
)
_LOOKS: Final = {
    "held": {"words": "On hold", "look": "critical", "icon": "hold"},
    "proposed": {"words": "Proposed", "look": "plain"},
    "approved": {"words": "Approved", "look": "low"},
    "paid": {"words": "Paid", "look": "good", "icon": "check"},
}
_LONGEST_NOTE: Final = 1000


def layout(view: View) -> Part:
    """Give figures, what is on hold, and all payments as the URL asks for them."""
    console, scope, wanted = view.console, view.scope, PaymentFilter.read(view.search)
    return html.Div(
        [
            head("Payments", "Money that is about to leave, and what was stopped and why."),
            html.Div(_top(console, scope), id="payments-top", className="stack"),
            _controls(wanted),
            html.Div(_chips(wanted), id="payments-chips", className="chips"),
            html.Section(
                block_grid("payments-grid", "Payments", _COLUMNS, read.BLOCK_ROWS),
                className="card flush",
                **{"aria-label": "All payments"},
            ),
            drawer(
                "payments-drawer",
                "Payment",
                _detail(console, scope, wanted.payment),
                is_open=wanted.payment != "",
            ),
            dcc.Store(id="payments-changed"),
        ]
    )


def _top(console: Console, scope: Scope) -> list[Part]:
    found = read.held(console.database, scope)
    now = console.now()
    shown: list[Part] = [html.Div(_figures(console, scope), className="figures four flat")]
    if found:
        cards = [hold_card(one, now) for one in found]
        shown += [html.H2("On hold"), html.Div(cards, className="holds")]
    return shown


def _figures(console: Console, scope: Scope) -> list[Part]:
    found = read.totals(console.database, scope)
    told = []
    for status, words in STATUS.items():
        rows = [r for r in found if r["status"] == status]
        count = sum(int(r["payments"]) for r in rows)
        told.append(
            figure_card(
                words,
                unbroken(sums(rows)),
                period=counted(count, "payment"),
                href=PAGE.path + PaymentFilter(status=status).search(),
                look="critical" if status == "held" and count else "",
            )
        )
    return told


def _controls(wanted: PaymentFilter) -> Part:
    return html.Div(
        [
            dmc.TextInput(
                id="payments-q",
                value=wanted.q,
                placeholder="Search vendor, payment, invoice, who proposed it",
                debounce=400,
                className="control wide",
                leftSection=icon("search"),
                **{"aria-label": "Search payments"},
            ),
            segmented(
                "payments-status", "Where it stands", {"all": "All", **STATUS}, wanted.status
            ),
        ],
        className="controls",
        role="search",
        **{"aria-label": "Filter payments"},
    )


def _chips(wanted: PaymentFilter) -> list[Part]:
    if not wanted.of:
        return []
    rest = PaymentFilter(wanted.q, wanted.status).search()
    return [filter_chip(f"Vendor: {wanted.of}", rest)]


def _detail(console: Console, scope: Scope, payment_id: str, said: Part = None) -> Part:
    if not payment_id:
        return None
    try:
        found = read.one(console.database, scope, payment_id)
    except (NotFound, InvalidInput) as error:
        return problem_box(str(error))
    return payment_detail(found, scope, console.now(), said)


def register(console: Console) -> None:
    """Register the list and what can be done with a payment on hold."""
    _register_list(console)
    _register_grid(console)
    _register_work(console)


def _register_list(console: Console) -> None:
    def to_url(scope: Scope, q: str | None, status: str | None, search: str | None) -> Any:  # noqa: ANN401, ARG001  Dash's own values
        before = PaymentFilter.read(search or "")
        asked = PaymentFilter((q or "").strip(), status or "all", before.of)
        after = PaymentFilter.read(asked.search())
        return no_update if after.params() == before.params() else after.search()

    console.scoped_callback(
        Output(URL, "search", allow_duplicate=True),
        Input("payments-q", "value"),
        Input("payments-status", "value"),
        State(URL, "search"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(to_url)

    def from_url(scope: Scope, search: str | None) -> tuple[Any, ...]:
        wanted = PaymentFilter.read(search or "")
        inside = _detail(console, scope, wanted.payment)
        return wanted.status, _chips(wanted), inside, wanted.payment != ""

    console.scoped_callback(
        Output("payments-status", "value"),
        Output("payments-chips", "children"),
        Output("payments-drawer-body", "children"),
        Output("payments-drawer", "opened"),
        Input(URL, "search"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(from_url)


def _register_grid(console: Console) -> None:
    def rows(scope: Scope, asked: dict[str, Any] | None, search: str | None) -> Any:  # noqa: ANN401  Dash's own values
        if not asked:
            return no_update
        start, end = int(asked.get("startRow", 0)), int(asked.get("endRow", 0))
        wanted = PaymentFilter.read(search or "")
        found, total = read.block(console.database, scope, wanted, start, end)
        return {"rowData": [_row(r, wanted) for r in found], "rowCount": total}

    console.scoped_callback(
        Output("payments-grid", "getRowsResponse"),
        Input("payments-grid", "getRowsRequest"),
        State(URL, "search"),
        grant=PAGE.grant,
    )(rows)
    for function, moved in (
        ("refreshUnlessOpened", Input(URL, "search")),
        ("refresh", Input("payments-changed", "data")),
    ):
        console.dash.clientside_callback(
            ClientsideFunction("work", function),
            Output("payments-grid", "className", allow_duplicate=True),
            moved,
            State("payments-grid", "id"),
            prevent_initial_call=True,
        )
    console.dash.clientside_callback(
        ClientsideFunction("work", "closeDrawer"),
        Output(URL, "search", allow_duplicate=True),
        Input("payments-drawer", "opened"),
        State(URL, "search"),
        prevent_initial_call=True,
    )


def _row(found: dict[str, Any], wanted: PaymentFilter) -> dict[str, Any]:
    opened = PaymentFilter(wanted.q, wanted.status, wanted.of, str(found["payment_id"]))
    amount = money(int(found["amount_cents"]), str(found["currency"]))
    return {
        "id": found["payment_id"],
        "level": _LOOKS.get(str(found["status"]), {"words": str(found["status"])}),
        "title": found["vendor_name"],
        "href": opened.search(),
        "under": f"{amount} by {found['created_by']}",
        "amount": amount,
        "invoice": found["invoice_id"] or "",
        "created_by": found["created_by"],
        "approved_by": found["approved_by"],
        "why": found["hold_title"] or "",
        "at": found["created_at"].isoformat(),
    }


def _register_work(console: Console) -> None:
    def act(scope: Scope, *values: Any) -> tuple[Any, ...]:  # noqa: ANN401  Dash's own values
        releases, keeps, note, clears, reference = values
        if not isinstance(reference, dict) or not (releases or keeps):
            return (no_update,) * 4
        which, version = str(reference.get("id")), int(reference.get("version") or 0)
        text = " ".join(str(note or "").split())[:_LONGEST_NOTE]
        if not text:
            said = problem_box("Say why first: the note is what an auditor will read.")
            return _detail(console, scope, which, said), no_update, no_update, no_update
        if ctx.triggered_id == "payment-keep":
            return _kept(console, scope, which, text)
        try:
            after = erp.try_release(
                console.database, scope, which, text, version, clears_warnings=bool(clears)
            )
        except (NotAllowed, InvalidInput) as error:
            said = problem_box(f"{error}.".replace("..", "."))
            return _detail(console, scope, which, said), no_update, no_update, no_update
        words = f"Released: {after['vendor_name']}. It can be paid now."
        detail = _detail(console, scope, which)
        return detail, _top(console, scope), toast(words), {"id": which, "version": version}

    console.scoped_callback(
        Output("payments-drawer-body", "children", allow_duplicate=True),
        Output("payments-top", "children"),
        Output(TOASTS, "children", allow_duplicate=True),
        Output("payments-changed", "data"),
        Input("payment-release", "n_clicks"),
        Input("payment-keep", "n_clicks"),
        State("payment-note", "value"),
        State("payment-clear", "checked"),
        State("payment-reference", "data"),
        grant=RELEASE,
        prevent_initial_call=True,
    )(act)


def _kept(console: Console, scope: Scope, which: str, note: str) -> tuple[Any, ...]:
    with console.database.app(scope) as tx:
        erp.get_payment(scope, tx, which)
        write_audit(tx, scope, "payment.keep-on-hold", which, detail={"note": note})
    words = "Kept on hold; your note is in the audit trail."
    return _detail(console, scope, which), no_update, toast(words), no_update
