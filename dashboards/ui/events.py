"""Show events: in one line, and whole with every column; and findings and entities as links."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from dash import dcc, html

from dashboards.read.known import Names, said
from dashboards.read.names import KINDS, Key, key_of
from dashboards.ui.icons import icon
from dashboards.ui.marks import count_of, cut_middle, exact_time, level_badge, mono, short
from dashboards.ui.panels import money
from dashboards.ui.states import Part
from storage.schema.classes import CLASSES
from storage.schema.columns import ENVELOPE, column_named

_CLASS: Final = {c.class_uid: c for c in CLASSES}
_TELLING: Final = (
    "cmd_line",
    "process_path",
    "file_path",
    "query_hostname",
    "email_subject",
    "operation",
    "document_uid",
    "message",
)
_ENVELOPE: Final = frozenset(c.name for c in ENVELOPE)
"""Said last: they are the same for most events."""
_LONG: Final = 400
_NOBODY: Final[Names] = {}
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
    """Give the one text of an event that says most.

    >>> telling({"class_uid": 999002, "document_uid": "P-7", "amount_cents": 5000})
    'P-7 50.00'
    """
    uid = int(event.get("class_uid") or 0)
    if 999000 < uid < 1000000:
        return _fact(event)
    if event.get("email_from"):
        return f"{event['email_from']} to {event.get('email_to')}: {event.get('email_subject')}"
    for name in _TELLING:
        if event.get(name):
            return " ".join(str(event[name]).split())
    if event.get("dst_ip"):
        return f"{event.get('src_ip') or '?'} to {event['dst_ip']}:{event.get('dst_port') or '?'}"
    person = str(event.get("user_name") or event.get("actor_user") or "")
    origin = f" from {event['src_ip']}" if event.get("src_ip") else ""
    return person + origin


def _fact(event: Row) -> str:
    count, off = event.get("record_count"), event.get("discount_percent")
    told = [
        f"{count:,} records" if count else "",
        str(event.get("document_type") or "") if count else "",
        str(event.get("document_uid") or ""),
        str(event.get("vendor_name") or event.get("vendor_uid") or ""),
        str(event.get("customer_name") or event.get("customer_uid") or ""),
        str(event.get("item_name") or event.get("person_name") or ""),
        money(event.get("amount_cents"), str(event.get("currency") or "")),
        f"{off:g} % off" if off else "",
        str(event.get("bank_account") or ""),
        f"by {event['actor_user']}" if event.get("actor_user") else "",
    ]
    return " ".join(dict.fromkeys(t for t in told if t))


def counted(number: int, word: str) -> str:
    """Write a count with its word, in the singular where it is one.

    >>> counted(1, "event"), counted(2000, "event")
    ('1 event', '2,000 events')
    """
    return f"{count_of(number)} {word}{'' if number == 1 else 's'}"


def whole_event(event: Row, columns: Mapping[str, str], is_open: bool) -> Part:
    """Show one event: a line, and every column when opened."""
    shown = columns or {k: short(str(v), _LONG) for k, v in event.items() if v is not None}
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


def other_findings(
    rows: Sequence[Row], most: int, has_entity: bool = False, names: Names = _NOBODY
) -> Part:
    """List findings in short, each a link; with whom it is about where they differ."""
    return html.Div(
        [
            html.Div(
                [
                    level_badge(row["level"]),
                    html.Div(
                        [
                            dcc.Link(
                                row["title"], href=f"/finding/{row['finding_id']}", className="cut"
                            ),
                            html.Span(
                                _beneath(row, has_entity, names), className="muted small cut"
                            ),
                        ],
                        className="two-lines",
                    ),
                ],
                className="line",
                title=exact_time(row["time"]),
            )
            for row in rows[:most]
        ],
        className="stack tight",
    )


def _beneath(row: Row, has_entity: bool, names: Names) -> str:
    at = exact_time(row["time"])[:16]
    signal = " · signal" if row.get("kind") == "signal" else ""
    return f"{said(str(row['entity']), names)} · {at}{signal}" if has_entity else f"{at}{signal}"


def link_chips(links: Sequence[Sequence[str]]) -> Part:
    """Show other entities as links to their pages."""
    return entity_chips([key_of(str(k[0]), str(k[1])) for k in links if len(k) >= 2])


def entity_chips(keys: Sequence[Key], most: int = 24, names: Names = _NOBODY) -> Part:
    """Show entities as links to their pages, each once."""
    return html.Div(
        [entity_chip(key, names) for key in list(dict.fromkeys(keys))[:most] if key.name],
        className="links",
    )


def entity_chip(key: Key, names: Names = _NOBODY) -> Part:
    """Show one entity as a link to its page: by its name where one is known, the id on hover."""
    name = names.get(key)
    return dcc.Link(
        [icon(entity_icon(key.kind)), html.Span(short(name, 60) if name else shown_name(key))],
        href=key.path,
        className="chip entity-chip",
        title=f"{KINDS.get(key.kind, key.kind)} {key.name}" + (f": {name}" if name else ""),
    )


def shown_name(key: Key) -> str:
    """Give an entity's name in short; a device's long id is cut in its middle.

    >>> shown_name(Key("device", "0f0c9be2-7d4e-4a52-9d4e-5c2b6f1f5cd7"))
    '0f0c9be2…b6f1f5cd7'
    """
    return cut_middle(key.name, 18 if key.kind == "device" else 60)


_ICONS: Final = {
    "host": "host",
    "user": "user",
    "process": "process",
    "vendor": "vendor",
    "document": "document",
    "customer": "customer",
    "device": "host",
    "item": "item",
    "domain": "domain",
    "ip": "ip",
    "file": "document",
}


def entity_icon(kind: str) -> str:
    """Give the icon of a kind of entity."""
    return _ICONS.get(kind, "network")


def entity_path(kind: str, name: str) -> str:
    r"""Give the address of an entity's page.

    >>> entity_path("user", "CORP\\Ann")
    '/entity/user:ann'
    """
    return key_of(kind, name).path
