"""Show what happened around a moment: a lane a kind, every dot a button, a list saying the same."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from dash import dcc, html

from dashboards.read.happenings import LANES, lane_of, lane_of_claim
from dashboards.ui.events import class_words, telling
from dashboards.ui.icons import icon
from dashboards.ui.marks import count_of, exact_time, level_badge, short
from dashboards.ui.states import Part

_PLACES: Final = 96
"""Places of a lane: what falls into one place is one dot."""
_TICKS: Final = 5
LANE_ICONS: Final = {
    "endpoint": "host",
    "network": "network",
    "identity": "user",
    "mail": "mail",
    "business": "money",
}
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing on the timeline. `look`: event, evidence, now, or finding and its level."""

    at: datetime
    lane: str
    words: str
    detail: str
    look: str = "event"
    level: str = ""
    href: str = ""


def of_events(events: Iterable[Row], mine: frozenset[str] = frozenset()) -> list[Happening]:
    """Make happenings of events; `mine` = ids of those that are the evidence."""
    return [
        Happening(
            e["time"],
            lane_of(e),
            class_words(e),
            short(telling(e), 160),
            "evidence" if str(e["event_id"]) in mine else "event",
        )
        for e in events
    ]


def of_claims(claims: Iterable[Row]) -> list[Happening]:
    """Make happenings of findings and signals."""
    return [
        Happening(
            c["time"],
            lane_of_claim(c, None),
            str(c["title"]),
            f"{c['entity_type']} {c['entity']}",
            "finding" if c.get("kind", "finding") == "finding" else "signal",
            str(c["level"]),
            f"/finding/{c['finding_id']}",
        )
        for c in claims
    ]


def lanes(
    label: str, happenings: Sequence[Happening], since: datetime, until: datetime, at: datetime
) -> Part:
    """Draw the lanes and the list; `at` is the moment that all is counted from."""
    shown = sorted(happenings, key=lambda h: (h.at, h.look))
    step = (until - since) / _PLACES
    places: dict[tuple[str, int], list[int]] = defaultdict(list)
    for number, one in enumerate(shown):
        place = max(0, min(_PLACES - 1, int((one.at - since) / step)))
        places[one.lane, place].append(number)
    rows = [_lane(lane, shown, places, at) for lane in LANES]
    now = _percent(at, since, until)
    return html.Div(
        [
            html.Div(
                [
                    *rows,
                    html.Div(
                        html.I(className="lane-now", style={"left": f"{now:.2f}%"}),
                        className="lane-over",
                        **{"aria-hidden": "true"},
                    ),
                    _axis(since, until, at),
                ],
                className="lanes",
                role="group",
                **{"aria-label": label},
            ),
            html.Ol(
                [_line(number, one, at) for number, one in enumerate(shown)],
                className="timeline",
                tabIndex=0,
                **{"aria-label": f"{label}, as a list"},
            ),
        ],
        className="stack tight",
    )


def _lane(
    lane: str,
    shown: Sequence[Happening],
    places: Mapping[tuple[str, int], list[int]],
    at: datetime,
) -> Part:
    dots = [
        _dot(place, [(n, shown[n]) for n in numbers], at)
        for (name, place), numbers in sorted(places.items())
        if name == lane
    ]
    count = sum(len(numbers) for (name, _), numbers in places.items() if name == lane)
    return html.Div(
        [
            html.Span(
                [
                    icon(LANE_ICONS[lane]),
                    html.Span(LANES[lane]),
                    html.Span(count_of(count), className="lane-count"),
                ],
                className="lane-name",
            ),
            html.Div(dots, className="lane-track"),
        ],
        className=f"lane {lane}" if count else f"lane {lane} quiet-lane",
    )


def _dot(place: int, told: Sequence[tuple[int, Happening]], at: datetime) -> Part:
    first = told[0][1]
    gravest = max((one for _, one in told), key=_weight)
    words = f"{said_gap(first.at - at)}: {first.words}"
    if len(told) > 1:
        words = f"{len(told)} at {said_gap(first.at - at)}, among them {gravest.words}"
    size = "big" if len(told) > 4 else ""
    return html.Button(
        str(len(told)) if 1 < len(told) < 100 else "99" if len(told) > 1 else "",
        type="button",
        className=f"lane-dot {gravest.look} {gravest.level} {size}".strip(),
        style={"left": f"{100 * (place + 0.5) / _PLACES:.2f}%"},
        title=short(words, 140),
        **{"aria-label": short(words, 140), "data-rows": ",".join(str(n) for n, _ in told[:60])},
    )


def _weight(one: Happening) -> int:
    return ("event", "evidence", "signal", "finding", "now").index(one.look)


def _line(number: int, one: Happening, at: datetime) -> Part:
    what: Part = dcc.Link(one.words, href=one.href) if one.href else html.Strong(one.words)
    marks: list[Part] = []
    if one.look == "evidence":
        marks = [html.Span("evidence", className="badge plain")]
    elif one.look in {"finding", "signal"} and one.level:
        marks = [level_badge(one.level)]
    return html.Li(
        [
            html.Time(
                said_gap(one.at - at),
                dateTime=one.at.isoformat(),
                title=exact_time(one.at),
                className="at",
            ),
            html.Span(icon(LANE_ICONS[one.lane], LANES[one.lane]), className="lane-mark"),
            html.Div(
                [what, *marks, html.Span(one.detail, className="mono muted")], className="what"
            ),
        ],
        className=f"{one.look} {one.lane}",
        **{"data-row": str(number)},
    )


def _axis(since: datetime, until: datetime, at: datetime) -> Part:
    step = (until - since) / (_TICKS - 1)
    ticks = [since + step * n for n in range(_TICKS)]
    return html.Div(
        [html.Span(said_gap(tick - at), title=exact_time(tick)) for tick in ticks],
        className="lane-axis",
        **{"aria-hidden": "true"},
    )


def _percent(at: datetime, since: datetime, until: datetime) -> float:
    return max(0.0, min(100.0, 100 * ((at - since) / (until - since))))


def said_gap(gap: timedelta) -> str:
    """Say how long before (-) or after (+) something was.

    >>> said_gap(timedelta(seconds=-90)), said_gap(timedelta(hours=3)), said_gap(timedelta())
    ('-90 s', '+3.0 h', '0 s')
    """
    seconds = gap.total_seconds()
    if abs(seconds) < 0.5:
        return "0 s"
    if abs(seconds) < 120:
        return f"{seconds:+,.0f} s"
    if abs(seconds) < 7200:
        return f"{seconds / 60:+.0f} min"
    return f"{seconds / 3600:+.1f} h" if abs(seconds) < 172_800 else f"{seconds / 86_400:+.0f} days"
