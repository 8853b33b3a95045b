"""Show which ATT&CK techniques the running rules look for, tactic by tactic."""

from typing import Final

from dash import dcc, html

from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import coverage as read
from dashboards.read.coverage import Coverage, Technique
from dashboards.ui.attack import tactics
from dashboards.ui.brush import said_count
from dashboards.ui.cards import figure_card
from dashboards.ui.marks import count_of
from dashboards.ui.panels import head
from dashboards.ui.states import Part

PAGE: Final = Page(
    path="/coverage",
    title="Coverage",
    grant="findings:read",
    why="Coverage says which attacks the house would see, and which not.",
    icon="rules",
    nav=2,
    group="Detection",
)


def layout(view: View) -> Part:
    """Give a column a tactic; what nothing looks for is folded away, and counted."""
    console = view.console
    found = read.coverage(console.database, console.settings, view.scope)
    columns = [_column(name, found.by_tactic[key]) for key, name in tactics().items()]
    if found.unknown:
        columns.append(_column("Of other versions", found.unknown))
    return html.Div(
        [
            head(
                "Coverage",
                "Techniques of MITRE ATT&CK that rules which run look for; a rule that rests or "
                "cannot run covers nothing.",
            ),
            html.Div(_figures(found), className="figures four"),
            html.Div(
                columns,
                className="coverage scroll-x",
                tabIndex=0,
                role="region",
                **{"aria-label": "Techniques by tactic"},
            ),
        ]
    )


def _figures(found: Coverage) -> list[Part]:
    bare = [
        name for key, name in tactics().items() if not any(t.rules for t in found.by_tactic[key])
    ]
    loud = [t for of in found.by_tactic.values() for t in of if t.claims]
    return [
        figure_card("Techniques", count_of(found.covered), period=f"of {count_of(found.known)}"),
        figure_card(
            "Tactics",
            count_of(len(tactics()) - len(bare)),
            period=f"none for {', '.join(bare)}" if bare else "all of them",
        ),
        figure_card(
            "Seen", count_of(len({t.technique for t in loud})), period="techniques in 7 days"
        ),
        figure_card("Do not run", count_of(found.idle), period="rules with a technique"),
    ]


def _column(name: str, techniques: list[Technique]) -> Part:
    covered = [t for t in techniques if t.rules]
    rest = [t for t in techniques if not t.rules]
    folded = html.Details(
        [
            html.Summary(f"{count_of(len(rest))} without a rule"),
            html.P("; ".join(map(_label, rest)), className="muted small"),
        ],
        className="twin",
    )
    return html.Section(
        [
            html.H2([name, html.Span(f"{len(covered)} of {len(techniques)}", className="count")]),
            html.Ul([_cell(t) for t in covered], className="plain-list stack tight"),
            folded if rest else None,
        ],
        className="card",
        **{"aria-label": name},
    )


def _cell(told: Technique) -> Part:
    # Each rule by name here would be thousands of components, which take the browser minutes.
    seen = f", {said_count(told.claims, 'claim')}" if told.claims else ""
    said = f"{said_count(len(told.rules), 'rule')}{seen}"
    link = dcc.Link(
        [html.Span(_label(told)), html.Span(said, className="muted small")],
        href=f"/rules?q={told.technique}",
        className="two-lines",
    )
    return html.Li(link, className="coverage-cell seen" if told.claims else "coverage-cell")


def _label(told: Technique) -> str:
    return f"{told.technique} {told.name}"


def register(console: Console) -> None:
    """Register nothing: the page only shows."""
