"""Show events: in one line, on a timeline, and whole with every column."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from dash import dcc, html

from dashboards.read.filters import FindingFilter
from dashboards.ui.icons import icon
from dashboards.ui.marks import exact_time, level_badge, mono, short
from dashboards.ui.states import Part
from storage.schema.classes import CLASSES
from storage.schema.columns import ENVELOPE, column_named

_CLASS: Final = {c.class_uid: c for c in CLASSES}
_TELLING: Final = (
    "cmd_line",
    "process_path",
    "file_path",
    "query_hostname",
    "document_uid",
    "message",
)
_ENVELOPE: Final = frozenset(c.name for c in ENVELOPE)
"""Said last: they are the same for most events."""
_LONG: Final = 400
Row = Mapping[str, Any]


def class_words(event: Row) -> str:
    """Say what kind of event it is: 'process activity: launch'.

    >>> class_words({"class_uid": 1007, "activity_id": 1})
    'process activity: launch'
    """
    known = _CLASS.get(event.get("class_uid") or 0)
    if known is None or not known.class_uid:
        code = event.get("event_code")
        return f"event {code}" if code else f"class {event.get('class_uid')}"
    activity = known.activities.get(event.get("activity_id") or 0, "")
    name = known.name.replace("_", " ")
    return f"{name}: {activity.lower()}" if activity else name


def telling(event: Row) -> str:
    """Give the one text of an event that says most."""
    for name in _TELLING:
        if event.get(name):
            return " ".join(str(event[name]).split())
    if event.get("dst_ip"):
        return f"{event.get('src_ip') or '?'} to {event['dst_ip']}:{event.get('dst_port') or '?'}"
    return str(event.get("user_name") or event.get("actor_user") or "")


def timeline(
    at: datetime, title: str, events: Sequence[Row], findings: Sequence[Row], mine: frozenset[str]
) -> Part:
    """Show events and findings of the entity around a moment, in order, the finding among them."""
    rows: list[tuple[datetime, int, Part]] = [(at, 1, _line(at, at, "now", title, ""))]
    for event in events:
        look = "evidence" if event["event_id"] in mine else ""
        what = f"{class_words(event)} (evidence)" if look else class_words(event)
        rows.append(
            (event["time"], 0, _line(event["time"], at, look, what, short(telling(event), 220)))
        )
    for other in findings:
        link = dcc.Link(other["title"], href=f"/finding/{other['finding_id']}")
        rows.append((other["time"], 2, _line(other["time"], at, "finding", link, other["level"])))
    rows.sort(key=lambda row: (row[0], row[1]))
    return html.Ol(
        [line for _, _, line in rows],
        className="timeline",
        tabIndex=0,
        **{"aria-label": "Timeline"},
    )


def _line(time: datetime, at: datetime, look: str, what: Part, detail: str) -> Part:
    delta = (time - at).total_seconds()
    said = (
        "0 s"
        if delta == 0
        else f"{delta:+,.0f} s"
        if abs(delta) < 120
        else f"{delta / 60:+.1f} min"
    )
    return html.Li(
        [
            html.Time(said, dateTime=time.isoformat(), title=exact_time(time), className="at"),
            html.Span(className="dot", **{"aria-hidden": "true"}),
            html.Div(
                [html.Strong(what), " ", html.Span(detail, className="mono muted")],
                className="what",
            ),
        ],
        className=look,
    )


def whole_event(event: Row, columns: Mapping[str, str], is_open: bool) -> Part:
    """Show one event: a line, and every column when opened."""
    shown = columns or {k: str(v) for k, v in event.items() if v is not None}
    shown = dict(sorted(shown.items(), key=lambda told: told[0] in _ENVELOPE))
    facts: list[Part] = []
    for name, value in shown.items():
        known = column_named(name)
        facts.append(html.Dt(name, title=known.meaning if known else "the source's own field"))
        facts.append(_value(name, value))
    head = [
        html.Time(exact_time(event["time"]), dateTime=event["time"].isoformat(), className="muted"),
        html.Strong(class_words(event)),
        mono(short(telling(event), 160)),
    ]
    return html.Details(
        [
            html.Summary(head),
            html.Div(
                html.Dl(facts, className="facts"),
                className="scroll columns",
                tabIndex=0,
                role="region",
                **{"aria-label": "Columns of the event"},
            ),
        ],
        open=is_open,
        className="event-detail",
    )


def _value(name: str, value: str) -> Part:
    if len(value) <= _LONG:
        return html.Dd(value)
    told = {"tabIndex": 0, "role": "region", "aria-label": name}
    return html.Dd(html.Div(value, className="long-value", **told))


def other_findings(rows: Sequence[Row], most: int) -> Part:
    """List findings in short, each a link."""
    return html.Div(
        [
            html.Div(
                [
                    level_badge(row["level"]),
                    dcc.Link(row["title"], href=f"/finding/{row['finding_id']}", className="cut"),
                ],
                className="line",
                title=exact_time(row["time"]),
            )
            for row in rows[:most]
        ],
        className="stack tight",
    )


def link_chips(links: Sequence[Sequence[str]]) -> Part:
    """Show other entities as links to their findings."""
    return html.Div(
        [
            dcc.Link(
                [icon(kind if kind in _ICONS else "network"), html.Span(short(str(name), 60))],
                href=entity_path(str(name)),
                className="chip",
                title=f"{kind}: {name}",
            )
            for kind, name in (link[:2] for link in links if len(link) >= 2)
        ],
        className="links",
    )


_ICONS: Final = frozenset({"host", "user", "process"})


def entity_path(entity: str) -> str:
    """Give the address of an entity's findings."""
    return "/findings" + FindingFilter(entity=entity[:300]).search()
