"""Edit what all agents of the tenant do, and see who changed it when."""

from typing import Any, Final, get_args

import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from api.agent_policy import (
    WRITE,
    Kind,
    Policy,
    PolicyDocument,
    ScheduledQuery,
    policies,
    read_document,
    set_policy,
    wanted_policy,
)
from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read.response import WORDS
from dashboards.ui.cards import panel
from dashboards.ui.controls import act_button
from dashboards.ui.icons import icon
from dashboards.ui.marks import moment
from dashboards.ui.panels import head, table
from dashboards.ui.states import Part, empty, problem_box
from storage.errors import InvalidInput
from storage.tenant import Scope

PAGE: Final = Page(
    path="/agents/policy",
    title="Agents' policy",
    grant="ops:read",
    why="The policy says what agents watch and what they may be asked to do.",
    under="/agents",
)
_FIELDS: Final = (
    *("off", "paths", "every", "queries", "spool", "cpu", "beat", "response", "eyes", "note"),
)
_LIMIT: Final = ScheduledQuery.model_fields["limit"].default
_KINDS: Final = tuple(k for k in get_args(Kind) if k != "undo")


def layout(view: View) -> Part:
    """Give the policy as a form beside its versions."""
    console, scope = view.console, view.scope
    found = wanted_policy(console.database, scope)
    back = dcc.Link([icon("back"), " All agents"], href="/agents", className="small")
    said = "Agents take a new version within a beat; none is ever taken back for an older one."
    history = html.Div(_history(console, scope), id="policy-history")
    return html.Div(
        [
            back,
            head("Policy of all agents", said),
            html.Div([_form(found, scope.may(WRITE)), history], className="split even"),
        ]
    )


def _form(found: Policy, may: bool) -> Part:
    if not may:
        why = "An administrator of your tenant changes it."
        return panel("Policy", html.P(why, className="muted"), _text(found.document))
    said = f"Version {found.version}." if found.version else "Nothing was set yet."
    save = act_button("Save as a new version", "policy-save", "check", second=False)
    return panel(
        "Policy",
        html.Div(
            [
                *_inputs(found.document),
                dmc.TextInput(id="policy-note", label="Why it is changed"),
                html.Div(save, className="actions"),
                html.Div(id="policy-said", **{"aria-live": "polite"}),
            ],
            className="stack",
        ),
        said=said,
    )


def _inputs(told: PolicyDocument) -> list[Part]:
    every = "\n".join(f"{name} {seconds:g}" for name, seconds in told.every_s.items())
    boxes = [dmc.Checkbox(label=WORDS[kind], value=kind) for kind in _KINDS]
    rows = {"autosize": True, "minRows": 2, "maxRows": 8}
    return [
        dmc.TextInput(
            id="policy-off",
            label="Collectors that do not run",
            value=", ".join(told.off),
            placeholder="packages, journal",
        ),
        dmc.Textarea(
            id="policy-paths",
            label="Watched files and folders, one a line; empty: the agent's own list",
            value="\n".join(told.watch_paths),
            **rows,
        ),
        dmc.Textarea(
            id="policy-every",
            label="How often a collector looks: its name and seconds, one a line",
            value=every,
            placeholder="packages 300",
            **rows,
        ),
        dmc.Textarea(
            id="policy-queries",
            label="Asked on a schedule: a name, seconds, the table, of files the path; one a line",
            value="\n".join(query_line(one) for one in told.queries),
            placeholder="tmp-files 300 files /tmp",
            **rows,
        ),
        _number("policy-spool", "Spool on the host, MB at most", told.spool_mb, 65_536),
        _number("policy-cpu", "Percent of a core at most", told.cpu_percent, 100),
        _number("policy-beat", "Seconds between two beats (5 to 300)", told.beat_s, 300),
        dmc.CheckboxGroup(
            html.Div(boxes, className="stack tight"),
            id="policy-response",
            value=[k for k in told.response if k in _KINDS],
            label="What agents may be asked to do",
        ),
        dmc.Checkbox(
            id="policy-eyes",
            label="A second person approves what changes a host",
            checked=told.four_eyes,
        ),
    ]


def _number(name: str, label: str, value: int | None, most: int) -> Part:
    given = "" if value is None else value
    return dmc.NumberInput(id=name, label=label, value=given, min=1, max=most, hideControls=True)


def _text(told: PolicyDocument) -> Part:
    text = told.model_dump_json(indent=1)
    return html.Pre(
        text, className="command", tabIndex=0, role="region", **{"aria-label": "Policy"}
    )


def _history(console: Console, scope: Scope) -> Part:
    found = policies(console.database, scope)
    if not found:
        return panel("Versions", empty("No version yet", "The first is made by saving."))
    now = console.now()
    rows = [
        (
            str(p.version),
            "all agents" if p.agent_id is None else html.Code(p.agent_id[:13]),
            moment(p.made_at, now) if p.made_at else "",
            p.made_by,
            "taken back" if p.is_removed else p.note,
        )
        for p in found[:50]
    ]
    return panel("Versions", table("Versions", ("Version", "Of", "When", "By", "Why"), rows))


def document_of(form: dict[str, Any]) -> PolicyDocument:
    """Read the form; InvalidInput names the field that is wrong.

    >>> document_of({"off": "packages, journal", "every": "packages 300"}).every_s
    {'packages': 300.0}
    """
    every: dict[str, str] = {}
    for line in _lines(form.get("every")):
        name, _, seconds = line.partition(" ")
        every[name] = seconds.strip()
    queries = [query_of(line) for line in _lines(form.get("queries"))]
    numbers = {"spool_mb": form.get("spool"), "cpu_percent": form.get("cpu")}
    told: dict[str, Any] = {
        "off": [w.strip() for w in str(form.get("off") or "").split(",") if w.strip()],
        "watch_paths": _lines(form.get("paths")),
        "every_s": every,
        "queries": queries,
        **{name: value for name, value in numbers.items() if value not in {None, ""}},
        "four_eyes": bool(form.get("eyes", True)),
    }
    if form.get("beat"):
        told["beat_s"] = form["beat"]
    if form.get("response") is not None:
        told["response"] = [*form["response"], "undo"]
    return read_document(told)


def query_line(one: ScheduledQuery) -> str:
    """Write a scheduled query as a line of the form."""
    limit = "" if one.limit == _LIMIT else f" limit={one.limit}"
    return f"{one.name} {one.every_s} {one.table}{limit}{f' {one.path}' if one.path else ''}"


def query_of(line: str) -> dict[str, Any]:
    """Read a line of the form; what is wrong in it the policy says.

    >>> query_of("tmp 300 files limit=50 /tmp/a b")
    {'name': 'tmp', 'every_s': '300', 'table': 'files', 'limit': '50', 'path': '/tmp/a b'}
    """
    words = [*line.split(maxsplit=3), "", "", "", ""][:4]
    found: dict[str, Any] = {"name": words[0], "every_s": words[1], "table": words[2]}
    rest = words[3]
    if rest.startswith("limit="):
        limit, _, rest = rest.removeprefix("limit=").partition(" ")
        found["limit"] = limit
    return {**found, "path": rest.strip()} if rest.strip() else found


def _lines(text: object) -> list[str]:
    return [line.strip() for line in str(text or "").splitlines() if line.strip()]


def register(console: Console) -> None:
    """Register: save a new version."""

    def save(scope: Scope, clicks: int | None, *values: Any) -> Any:  # noqa: ANN401  Dash's own values
        if not clicks:
            return no_update, no_update
        form = dict(zip(_FIELDS, values, strict=True))
        note = str(form.pop("note") or "")
        try:
            document = document_of(form)
            made = set_policy(console.database, scope, document, console.now(), note=note)
        except InvalidInput as wrong:
            return problem_box(str(wrong)), no_update
        words = f"Version {made.version} is set; agents take it at their next beat."
        return html.P(words, className="done"), _history(console, scope)

    told = {"response": "value", "eyes": "checked"}
    console.scoped_callback(
        Output("policy-said", "children"),
        Output("policy-history", "children"),
        Input("policy-save", "n_clicks"),
        *[State(f"policy-{name}", told.get(name, "value")) for name in _FIELDS],
        grant=WRITE,
        prevent_initial_call=True,
    )(save)
