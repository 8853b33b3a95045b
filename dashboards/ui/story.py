"""Tell a chain of claims as a story: one after the other, with the time between, in plain words."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from dash import dcc, html

from dashboards.read.finding import Step
from dashboards.read.happenings import LANES
from dashboards.read.known import Names
from dashboards.read.known import said as named
from dashboards.read.names import named_by
from dashboards.ui.events import counted, entity_chips, telling
from dashboards.ui.icons import icon
from dashboards.ui.marks import exact_time, level_badge, short
from dashboards.ui.states import Part
from dashboards.ui.timeline import LANE_ICONS

_MOST_VALUES: Final = 3
_LONGEST: Final = 180


def story(steps: Sequence[Step], label: str, acts: Any = None, names: Names | None = None) -> Part:  # noqa: ANN401  a function of a claim
    """Tell the steps from top to bottom; `acts(claim)` gives what can be done with each."""
    told: list[Part] = []
    last = None
    for step in steps:
        at = step.claim["time"]
        if last is None or at.date() != last.date():
            told.append(html.Li(f"{at:%A, %d %B %Y}", className="story-day"))
        elif at - last >= timedelta(seconds=1):
            told.append(html.Li(f"{said_between(at - last)} later", className="story-gap"))
        told.append(_step(step, acts, names or {}))
        last = at
    return html.Ol(told, className="story", **{"aria-label": label})


def _step(step: Step, acts: Any, names: Names) -> Part:  # noqa: ANN401  a function of a claim
    claim = step.claim
    is_signal = claim.get("kind") == "signal"
    rests = int(claim.get("event_count") or 0)
    parts = claim.get("parts") or []
    said = telling(step.event) if step.event and not parts else ""
    head = [
        level_badge(claim["level"]),
        html.Span("signal", className="badge plain") if is_signal else None,
        html.Span(
            f"joins {counted(len(parts), 'step')}" if parts else LANES[step.lane],
            className="muted small",
        ),
        html.Time(
            f"{claim['time']:%H:%M:%S}",
            dateTime=claim["time"].isoformat(),
            title=exact_time(claim["time"]),
            className="muted small",
        ),
        html.Span(counted(rests, "event"), className="muted small") if rests > 1 else None,
    ]
    return html.Li(
        [
            html.Span(
                icon("link", "Correlation")
                if parts
                else icon(LANE_ICONS[step.lane], LANES[step.lane]),
                className="story-mark",
            ),
            html.Div(
                [
                    html.Div(
                        [
                            dcc.Link(
                                claim["title"],
                                href=f"/finding/{claim['finding_id']}",
                                className="story-title",
                            ),
                            acts(claim) if acts is not None else None,
                        ],
                        className="story-top",
                    ),
                    html.Div(head, className="badges"),
                    html.Code(short(said, _LONGEST), className="story-said") if said else None,
                    _values(claim, said, names),
                    entity_chips(named_by(claim), 6, names),
                ],
                className="story-body",
            ),
        ],
        className=f"story-step {step.lane} {claim['level']}" + (" signal" if is_signal else ""),
    )


def _values(claim: dict[str, Any], said: str, names: Names) -> Part:
    """Show the first grounds that the event's own line does not say already."""
    seen: dict[str, str] = {}
    for reason in claim.get("reasons") or []:
        name, value = str(reason.get("name", "")), " ".join(str(reason.get("value", "")).split())
        if value and name not in seen and value.lower() not in said.lower():
            seen[name] = value
    pairs = list(seen.items())[:_MOST_VALUES]
    if not pairs:
        return None
    return html.Dl(
        [
            part
            for name, value in pairs
            for part in (html.Dt(name), html.Dd(short(named(value, names), _LONGEST)))
        ],
        className="story-values",
    )


def said_between(gap: timedelta) -> str:
    """Say how much time lies between two things.

    >>> said_between(timedelta(seconds=42)), said_between(timedelta(hours=5)), said_between(
    ...     timedelta(days=3))
    ('42 s', '5 h', '3 days')
    """
    seconds = abs(gap.total_seconds())
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 129_600 else f"{seconds / 86_400:.0f} days"
