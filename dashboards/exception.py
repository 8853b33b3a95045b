"""Make an exception on a finding's page: what is no threat, what it takes out, keep it."""

import json
from datetime import datetime, timedelta
from typing import Any, Final

import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from api import exceptions
from api.exceptions import WORDS, Effect, Pair
from dashboards.console import Console
from dashboards.read.newest import end_of
from dashboards.ui.brush import said_count
from dashboards.ui.cards import panel
from dashboards.ui.controls import act_button
from dashboards.ui.marks import count_of, cut_middle
from dashboards.ui.states import Part
from dashboards.ui.toasts import TOASTS, toast
from storage.database import Database
from storage.errors import InopsioError, InvalidInput
from storage.rules import GRANT, delete_rule
from storage.tenant import Scope

_UNDO: Final = "exception.drop"
_DAYS: Final = {"": "good", "1": "a day", "7": "a week", "30": "30 days"}
Row = dict[str, Any]


def exception_panel(console: Console, scope: Scope, finding: Row) -> Part:
    """Offer it to those who may write rules."""
    pairs = exceptions.conditions_of(finding)
    if not pairs or not scope.may(GRANT):
        return None
    chosen = exceptions.proposed(pairs)
    boxes = [
        dmc.Checkbox(label=f"{WORDS[kind]} is {cut_middle(name, 40)}", value=_key((kind, name)))
        for kind, name in pairs
    ]
    group = dmc.CheckboxGroup(
        html.Div(boxes, className="stack tight break-words"),
        id="exception-conditions",
        value=[_key(pair) for pair in chosen],
        label="It is no threat where all of these hold",
    )
    why = dmc.TextInput(
        id="exception-why",
        label="Not a threat because",
        placeholder="the deployment tool does this every night",
    )
    long = dmc.Select(
        id="exception-days",
        label="For",
        data=[{"value": days, "label": said} for days, said in _DAYS.items()],
        value="",
        allowDeselect=False,
    )
    return panel(
        "Not a threat?",
        html.Div([group, why, long], className="stack"),
        html.Div(
            _effect(console, scope, finding, chosen),
            id="exception-effect",
            className="top-gap",
            **{"aria-live": "polite"},
        ),
        html.Div(
            act_button("Make an exception", "exception-save", "check"), className="actions top-gap"
        ),
        dcc.Store(id="exception-of", data=str(finding["finding_id"])),
        said="Such events are no findings of this rule any more; the rule itself stays as it is."
        if exceptions.is_of_events(finding)
        else "It is not claimed any more where these are named, and holds no payment then.",
    )


def _key(pair: Pair) -> str:
    return json.dumps(pair)


def _pairs(values: object) -> list[Pair]:
    """Read what a browser sends; InvalidInput when it is none."""
    try:
        told = [json.loads(str(value)[:5_000]) for value in _listed(values)[: exceptions.MOST]]
        return [(str(kind), str(name)) for kind, name in told]
    except (ValueError, TypeError) as error:
        raise InvalidInput("these are no things that the finding names") from error


def _listed(values: object) -> list[object]:
    return values if isinstance(values, list) else []


def _effect(console: Console, scope: Scope, finding: Row, chosen: list[Pair]) -> Part:
    if not chosen:
        return html.P("Choose at least one.", className="muted small")
    with console.database.app(scope) as tx:
        told = exceptions.effect_of(scope, tx, finding, chosen, end_of(tx, console.now()))
    return _said(told)


def _said(told: Effect) -> Part:
    levels = ", ".join(f"{count_of(count)} {level}" for level, count in told.by_level)
    taken = f"{count_of(told.removed)} of {said_count(told.of, 'claim')}"
    said = html.P(
        f"In the last {exceptions.DAYS} days it takes out {taken}"
        + (f": {levels}." if levels else ".")
    )
    if not told.right:
        return said
    warned = f"{said_count(told.right, 'claim')} among them people judged a true positive."
    return html.Div([said, html.P(warned, className="bad")])


def register(console: Console) -> None:
    """Register the live effect, keeping it, and the way back."""

    def effect(scope: Scope, values: Any, finding_id: Any) -> Any:  # noqa: ANN401  Dash's own values
        with console.database.app(scope) as tx:
            finding = exceptions.finding_for(tx, str(finding_id or ""))
        return _effect(console, scope, finding, _pairs(values))

    console.scoped_callback(
        Output("exception-effect", "children"),
        Input("exception-conditions", "value"),
        State("exception-of", "data"),
        grant=GRANT,
        prevent_initial_call=True,
    )(effect)

    def save(
        scope: Scope,
        clicks: Any,  # noqa: ANN401  Dash's own values
        values: Any,  # noqa: ANN401  Dash's own values
        why: Any,  # noqa: ANN401  Dash's own values
        days: Any,  # noqa: ANN401  Dash's own values
        finding_id: Any,  # noqa: ANN401  Dash's own values
    ) -> Any:  # noqa: ANN401  Dash's own values
        if not clicks:
            return no_update
        try:
            until = _until(console.now(), days)
            chosen = _pairs(values)
            made = _kept(console, scope, str(finding_id or ""), chosen, str(why or ""), until)
        except InopsioError as wrong:
            return toast(str(wrong)[:300], is_bad=True)
        said = "Kept as a filter of your own; the flows go by it within ten seconds."
        return toast(said, (_UNDO, {"id": made}))

    console.scoped_callback(
        Output(TOASTS, "children", allow_duplicate=True),
        Input("exception-save", "n_clicks"),
        State("exception-conditions", "value"),
        State("exception-why", "value"),
        State("exception-days", "value"),
        State("exception-of", "data"),
        grant=GRANT,
        prevent_initial_call=True,
    )(save)

    def undo(scope: Scope, data: Any) -> str:  # noqa: ANN401  what the toast was given
        _dropped(console.database, scope, str(data.get("id")))
        return "Undone: the exception is gone."

    console.undoable(_UNDO, GRANT, undo)


def _until(now: datetime, days: object) -> datetime | None:
    if str(days or "") not in _DAYS:
        raise InvalidInput("choose for how long")
    return now + timedelta(days=int(str(days))) if days else None


def _kept(
    console: Console,
    scope: Scope,
    finding_id: str,
    chosen: list[Pair],
    why: str,
    until: datetime | None,
) -> str:
    with console.database.app(scope) as tx:
        finding = exceptions.finding_for(tx, finding_id)
        return exceptions.save_exception(scope, tx, console.settings, finding, chosen, why, until)


def _dropped(database: Database, scope: Scope, rule_id: str) -> None:
    with database.app(scope) as tx:
        delete_rule(scope, tx, rule_id)
