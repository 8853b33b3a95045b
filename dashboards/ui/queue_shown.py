"""Show the queue around its rows: levels, chips, counts over time, pages, acts."""

from datetime import datetime
from typing import Final

from dash import dcc, html

from dashboards.read.filters import FindingFilter
from dashboards.read.findings import PAGE_ROWS, Queue
from dashboards.ui.cards import freshness
from dashboards.ui.controls import dialog, filter_chip
from dashboards.ui.figures import Bar, histogram
from dashboards.ui.icons import icon
from dashboards.ui.marks import LEVELS, VERDICT, count_of
from dashboards.ui.queue import queue_table
from dashboards.ui.states import Part, empty

_PATH: Final = "/findings"
_STALE_S: Final = 2 * 86_400.0
"""Twice the day within which a house of any size has a finding."""


def queue_shown(found: Queue, wanted: FindingFilter, now: datetime, may_work: bool) -> list[Part]:
    """Show one page of the queue; `may_work`: with boxes to choose rows by."""
    is_grouped = wanted.shape == "grouped"
    inside: list[Part] = [_none_match()]
    if found.rows:
        table = queue_table(found.rows, now, is_grouped, may_work)
        inside = [table, _pages(found, wanted, _fresh(found, now))]
    new = html.Button(
        id="findings-new", type="button", className="pill", hidden=True, **{"aria-live": "polite"}
    )
    return [
        html.Div([*_levels(found, wanted), *_chips(wanted)], className="chips"),
        _histogram(found, wanted, now) if found.buckets else html.Div(),
        html.Section(
            [new, html.Div(inside, id="findings-list", **{"data-arrived": found.arrived})],
            className="card flush",
            **{"aria-label": "Queue of findings"},
        ),
    ]


def _levels(found: Queue, wanted: FindingFilter) -> list[Part]:
    """Show how many there are of each level; a click shows only that level, or all again."""
    chips = []
    for level in LEVELS:
        count = found.by_level.get(level, 0)
        is_on = level in wanted.level
        if not count and not is_on:
            continue
        rest = tuple(x for x in wanted.level if x != level) if is_on else (*wanted.level, level)
        chips.append(
            dcc.Link(
                [icon(level), html.Span(level.capitalize()), html.Strong(count_of(count))],
                href=_PATH + wanted.but(level=rest, page=0).search(),
                className=f"level-chip {level}{' on' if is_on else ''}",
                title=f"{'Show all levels' if is_on else f'Only {level}'}",
            )
        )
    return chips


def _chips(wanted: FindingFilter) -> list[Part]:
    told: list[tuple[str, FindingFilter]] = [
        (f"{words}: {getattr(wanted, name)}", wanted.but(**{name: ""}, page=0))
        for name, words in (
            ("detector", "Detector"),
            ("rule", "Rule"),
            ("entity", "Entity"),
            ("q", "Text"),
        )
        if getattr(wanted, name)
    ]
    for no in wanted.no:
        field, _, value = no.partition(":")
        rest = tuple(n for n in wanted.no if n != no)
        told.append((f"Not {field}: {value}", wanted.but(no=rest, page=0)))
    if wanted.since or wanted.until:
        words = f"{wanted.since[:16] or '…'} to {wanted.until[:16] or '…'}"
        told.append((f"Time: {words}", wanted.but(since="", until="", page=0)))
    chips = [filter_chip(words, _PATH + rest.search()) for words, rest in told]
    if len(chips) > 1:
        chips.append(dcc.Link("Clear all", href=_PATH, className="chip clear"))
    return chips


def _fresh(found: Queue, now: datetime) -> Part:
    newest = datetime.fromisoformat(found.arrived) if found.arrived else None
    return freshness(newest, now, _STALE_S)


def _histogram(found: Queue, wanted: FindingFilter, now: datetime) -> Part:
    bars = [
        Bar(
            f"{b.since:%Y-%m-%d %H:%M}",
            b.by_level,
            _PATH
            + wanted.but(
                since=f"{b.since:%Y-%m-%dT%H:%M}", until=f"{b.until:%Y-%m-%dT%H:%M}", page=0
            ).search(),
        )
        for b in found.buckets
    ]
    top = max(found.buckets, key=lambda b: b.total)
    return histogram(
        "Over time",
        f"{count_of(found.total)} findings; most at {top.since:%Y-%m-%d %H:%M}: "
        f"{count_of(top.total)}. Click a bar to look closer.",
        bars,
        f"{found.buckets[0].since:%Y-%m-%d %H:%M}",
        f"{found.buckets[-1].until:%Y-%m-%d %H:%M} UTC",
        _fresh(found, now),
    )


def _pages(found: Queue, wanted: FindingFilter, fresh: Part) -> Part:
    first = wanted.page * PAGE_ROWS + 1
    what = "groups" if wanted.shape == "grouped" else "findings"

    def to(page: int, words: str, is_there: bool) -> Part:
        if not is_there:
            return None
        href = _PATH + wanted.but(page=page).search()
        return dcc.Link(words, href=href, className="button small")

    return html.Nav(
        [
            html.Span(
                f"{what.capitalize()} {count_of(first)} to "
                f"{count_of(first + len(found.rows) - 1)} of {count_of(found.total)} findings"
                if what == "groups"
                else f"{count_of(first)} to {count_of(first + len(found.rows) - 1)} of "
                f"{count_of(found.total)}",
                className="muted small",
            ),
            html.Div(
                [
                    fresh,
                    to(wanted.page - 1, "Previous", wanted.page > 0),
                    to(wanted.page + 1, "Next", found.has_more),
                ],
                className="actions",
            ),
        ],
        className="pages",
        **{"aria-label": "Pages of the queue"},
    )


def acts_bar() -> Part:
    """Give the acts on the chosen rows; shown as soon as one is chosen."""

    def act(words: str, name: str, value: str, mark: str) -> Part:
        told = {"data-act": name, "data-value": value}
        return html.Button([icon(mark), words], type="button", className="act second", **told)

    return html.Div(
        [
            html.Strong("", **{"data-chosen": "", "aria-live": "polite"}),
            act("True positive", "close", "true_positive", "check"),
            act("False positive", "close", "false_positive", "close"),
            act("Benign", "close", "benign", "minus"),
            act("Assign to me", "assign", "", "user"),
            act("Open incident", "gather", "", "incidents"),
            html.Button(
                "Clear", type="button", className="quiet", **{"data-act": "clear", "data-value": ""}
            ),
        ],
        id="findings-bar",
        className="bulk",
        role="toolbar",
        **{"aria-label": "Acts on the chosen rows"},
    )


def verdict_dialog() -> Part:
    """Ask for the verdict with which the chosen rows are closed; keys 1 to 3 answer."""
    lines = [
        html.Button(
            [html.Span(words), html.Kbd(str(at))],
            type="button",
            className="act second",
            **{"data-act": "close", "data-value": verdict},
        )
        for at, (verdict, words) in enumerate(VERDICT.items(), 1)
    ]
    return dialog(
        "findings-verdict", "Close with which verdict?", html.Div(lines, className="stack tight")
    )


def _none_match() -> Part:
    return empty(
        "No finding matches",
        "The filters above let nothing through. Remove one, widen the time range, or show what is "
        "judged already.",
        dcc.Link("Clear all filters", href=_PATH, className="button"),
    )
