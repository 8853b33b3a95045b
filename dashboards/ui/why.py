"""Show why a finding was made: matched fields with the match marked, features against the usual."""

import re
from collections.abc import Sequence
from typing import Any, Final

from dash import html

from dashboards.ui.marks import short
from dashboards.ui.states import Part

_SHOWN: Final = 600
_NUMBER: Final = re.compile(r"-?\d[\d,]*\.?\d*")
_KINDS: Final = ("contains", "startswith", "endswith", "equals", "is", "=")

Reason = dict[str, Any]


def is_model(reasons: Sequence[Reason]) -> bool:
    """Answer whether the reasons are a model's features, not fields that a rule matched."""
    return any(r.get("weight") is not None for r in reasons)


def said(is_model: bool, is_chain: bool) -> str:
    """Say in one sentence how the detector came to it, where no rule says it better."""
    if is_chain:
        return (
            "Each of these steps alone may be harmless. Together, about the same entities and "
            "close in time, they are not."
        )
    if is_model:
        return (
            "A model that learned what is usual for this entity saw something far from it. "
            "The bars compare what was seen with what is usual."
        )
    return "A rule matched these fields. Its text is not part of this house."


def matched(reasons: Sequence[Reason]) -> Part:
    """Show each field once, its value with what matched marked, and the patterns."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for reason in reasons:
        key = (str(reason.get("name", "")), str(reason.get("value", "")))
        grouped.setdefault(key, []).append(str(reason.get("expected", "")))
    return html.Div(
        [
            html.Div(
                [
                    html.H3(name),
                    _value(value, patterns),
                    html.Div(
                        [html.Code(p, className="pattern") for p in patterns if p],
                        className="expected links",
                    ),
                ],
                className="reason",
            )
            for (name, value), patterns in grouped.items()
        ]
    )


def _value(value: str, patterns: Sequence[str]) -> Part:
    if len(value) <= _SHOWN:
        return html.Code(_marked(value, patterns), className="mono value")
    return html.Details(
        [
            html.Summary(
                html.Code(_marked(short(value, _SHOWN), patterns), className="mono value")
            ),
            html.Code(value[_SHOWN - 1 :], className="mono value"),
        ],
        className="value long",
    )


def _marked(value: str, patterns: Sequence[str]) -> list[Part]:
    spans = sorted(s for p in patterns for s in [_span(value, p)] if s)
    parts: list[Part] = []
    done = 0
    for start, end in spans:
        if start >= done:
            parts += [value[done:start], html.Mark(value[start:end], className="hit")]
            done = end
    return [*parts, value[done:]]


def _span(value: str, pattern: str) -> tuple[int, int] | None:
    """Find the plain word of a pattern in the value; None where it is not that simple."""
    kind, _, word = pattern.partition(" ")
    if kind not in _KINDS or not word:
        return None
    low, sought = value.casefold(), word.casefold()
    if len(low) != len(value):
        return None
    at = low.rfind(sought) if kind == "endswith" else low.find(sought)
    return (at, at + len(sought)) if at >= 0 else None


def features(reasons: Sequence[Reason]) -> Part:
    """Show a model's features: seen against usual as bars, and each one's share of the score."""
    return html.Div([_feature(r) for r in reasons], className="features")


def _feature(reason: Reason) -> Part:
    name, value = str(reason.get("name", "")), str(reason.get("value", ""))
    expected = str(reason.get("expected", ""))
    seen, usual = _number(value), _number(expected)
    weight = reason.get("weight")
    share = f"{100 * float(weight):.0f} % of the score" if isinstance(weight, int | float) else ""
    bars = []
    if seen is not None and usual is not None:
        top = max(seen, usual, 1e-9)
        bars = [_track("seen", seen, top, value), _track("usual", usual, top, f"{usual:g}")]
    return html.Div(
        [
            html.Div([html.H3(name), html.Span(share, className="muted")], className="page-head"),
            html.Div(bars, className="feature-bars"),
            html.P(["Seen ", html.Code(value), " · usual: ", expected], className="muted small"),
        ]
    )


def _track(label: str, number: float, top: float, said: str) -> Part:
    width = max(0.0, min(100.0, 100 * number / top))
    return html.Div(
        [
            html.Span(label),
            html.Span(html.I(style={"width": f"{max(width, 0.6):.1f}%"}), className="track"),
            html.Span(said, className="cut"),
        ],
        className=f"feature-bar {label}",
    )


def _number(text: str) -> float | None:
    found = _NUMBER.search(text)
    if not found:
        return None
    try:
        return float(found[0].replace(",", ""))
    except ValueError:
        return None
