"""Mark levels, statuses, times and technical texts, the same everywhere."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from dash import html

from dashboards.ui.icons import icon
from dashboards.ui.states import Part

LEVELS: Final = ("critical", "high", "medium", "low", "informational")
"""Gravest first, as shown."""
STATUS: Final = {"open": "Open", "in_progress": "In progress", "closed": "Closed"}
VERDICT: Final = {
    "true_positive": "True positive",
    "false_positive": "False positive",
    "benign": "Benign",
}
_RECENT: Final = timedelta(days=7)


def level_badge(level: str) -> Part:
    """Show a level by icon, word and colour; an unknown word is shown as it is, uncoloured."""
    known = level if level in LEVELS else "informational"
    return html.Span([icon(known), level.capitalize()], className=f"badge {known}")


def status_badge(status: str) -> Part:
    """Show an incident's status by icon and word."""
    name = status if status in STATUS else "open"
    return html.Span([icon(f"status-{name}"), STATUS[name]], className=f"badge status {name}")


def verdict_badge(verdict: str) -> Part:
    """Show an incident's verdict."""
    return html.Span(VERDICT.get(verdict, verdict), className="badge plain")


def moment(at: datetime, now: datetime) -> Part:
    """Show a time: relative within a week, else its date; exact UTC on hover and for readers."""
    exact = exact_time(at)
    return html.Time(
        said_time(at, now), dateTime=at.astimezone(UTC).isoformat(), title=exact, className="time"
    )


def exact_time(at: datetime) -> str:
    """Give a time to the millisecond, in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"


def said_time(at: datetime, now: datetime) -> str:
    """Say a time the way people do: '5 min ago', else the date.

    >>> from datetime import datetime, UTC
    >>> said_time(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 5, tzinfo=UTC))
    '5 min ago'
    """
    age = now - at
    if age > _RECENT or age < -timedelta(minutes=1):
        return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    minutes = int(age.total_seconds() // 60)
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} min ago"
    return f"{minutes // 60} h ago" if minutes < 48 * 60 else f"{minutes // 1440} days ago"


def mono(text: str, label: str = "") -> Part:
    """Show technical text (a command line, a hash) letter by letter."""
    told: dict[str, Any] = {"aria-label": label} if label else {}
    return html.Code(text, className="mono", **told)


def short(text: str, most: int = 160) -> str:
    """Cut a long text for a table; the whole is one click away.

    >>> short("abcdef", 4)
    'abc…'
    """
    return text if len(text) <= most else text[: most - 1] + "…"


def cut_middle(text: str, most: int = 60) -> str:
    """Cut a long text in its middle: both ends tell an id or a path apart.

    >>> cut_middle("0f0c9be2-7d4e-4a52-9d4e-5c2b6f1f5cd7", 14)
    '0f0c9be…1f5cd7'
    """
    if len(text) <= most:
        return text
    head = most // 2
    return f"{text[:head]}…{text[len(text) - (most - head - 1) :]}"


def count_of(number: int) -> str:
    """Write a count with separators.

    >>> count_of(1234567)
    '1,234,567'
    """
    return f"{number:,}"
