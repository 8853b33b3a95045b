"""Build the parts of work pages: heads, tables, states, commands to copy, sizes and money."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dash import html

from dashboards.ui.icons import icon
from dashboards.ui.states import Part


def head(title: str, said: str = "", *actions: Part) -> Part:
    """Head a page: its name, one sentence, what can be done here."""
    words = [html.H1(title), html.P(said, className="muted lead") if said else None]
    return html.Div(
        [html.Div(words, className="head-words"), html.Div(list(actions), className="actions")],
        className="page-head",
    )


def table(
    label: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[Part]],
    numbers: Sequence[int] = (),
    look: str = "",
) -> Part:
    """Show a small table that scrolls sideways by itself; `numbers`: columns set right."""
    right = set(numbers)
    top = html.Tr(
        [
            html.Th(words, scope="col", className="number" if i in right else "")
            for i, words in enumerate(heads)
        ]
    )
    body = [
        html.Tr([html.Td(cell, className="number" if i in right else "") for i, cell in row])
        for row in ([*enumerate(r)] for r in rows)
    ]
    return html.Div(
        html.Table([html.Thead(top), html.Tbody(body)], className=f"table rows {look}".strip()),
        className="scroll-x",
        tabIndex=0,
        role="region",
        **{"aria-label": label},
    )


def pill(words: str, look: str = "plain", mark: str = "") -> Part:
    """Show a state by word, colour and, where there is one, an icon."""
    return html.Span([icon(mark) if mark else None, words], className=f"badge {look}")


def copy_line(text: str, label: str) -> Part:
    """Show a command to paste with a button that copies it."""
    return html.Div(
        [
            html.Pre(text, className="command", tabIndex=0, role="region", **{"aria-label": label}),
            html.Button(
                [icon("copy"), "Copy"],
                type="button",
                className="act second copy",
                **{"data-copy": text, "aria-label": f"Copy: {label}"},
            ),
        ],
        className="copy-line",
    )


def size_of(count: int) -> str:
    """Write a number of bytes the way people read it.

    >>> size_of(1536), size_of(3_400_000)
    ('1.5 KB', '3.4 MB')
    """
    for unit, step in (("GB", 10**9), ("MB", 10**6)):
        if count >= step:
            return f"{count / step:.1f} {unit}"
    return f"{count / 1024:.1f} KB" if count >= 1024 else f"{count} B"


def money(cents: int | None, currency: str = "EUR") -> str:
    """Write an amount of money.

    >>> money(123456789)
    '1,234,567.89 EUR'
    """
    if cents is None:
        return ""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100:,}.{abs(cents) % 100:02d} {currency}".strip()


def unbroken(said: str) -> str:
    r"""Keep each amount on one line with its currency; several part between them.

    >>> unbroken("1.00 EUR + 2.00 USD") == "1.00\u00a0EUR + 2.00\u00a0USD"
    True
    """
    return " + ".join(part.replace(" ", "\u00a0") for part in said.split(" + "))


def sums(rows: Iterable[Mapping[str, Any]]) -> str:
    """Add up rows of `cents` and `currency`; each currency stands for itself.

    >>> sums([{"cents": 100, "currency": "EUR"}, {"cents": 250, "currency": "EUR"}])
    '3.50 EUR'
    """
    by_currency: dict[str, int] = {}
    for row in rows:
        name = str(row["currency"])
        by_currency[name] = by_currency.get(name, 0) + int(row["cents"])
    told = [money(cents, name) for name, cents in sorted(by_currency.items())]
    return " + ".join(told) or "0.00 EUR"
