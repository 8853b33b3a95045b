"""Know the names and tactics of ATT&CK's techniques, from a compact table of our own."""

import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from dash import dcc, html

from dashboards.ui.marks import count_of
from dashboards.ui.states import Part

_FILE: Final = Path(__file__).with_name("attack.json")


@cache
def _table() -> dict[str, Any]:
    found = json.loads(_FILE.read_text(encoding="utf-8"))
    assert isinstance(found, dict)  # noqa: S101  our own file
    return found


def tactics() -> dict[str, str]:
    """Give the fourteen tactics in their order: key -> name."""
    return dict(_table()["tactics"])


def techniques() -> list[str]:
    """Give the ids of the techniques known, without sub-techniques."""
    return list(_table()["techniques"])


def technique_name(technique: str) -> str:
    """Name a technique; a sub-technique goes by its technique, an unknown one by its id.

    >>> technique_name("T1059.001")
    'Command and Scripting Interpreter'
    """
    known = _table()["techniques"].get(technique.upper().partition(".")[0])
    return str(known[0]) if known else technique


def tactics_of(technique: str) -> list[str]:
    """Give the tactics that a technique serves; none for an unknown one.

    >>> tactics_of("T1486")
    ['impact']
    """
    known = _table()["techniques"].get(technique.upper().partition(".")[0])
    return [str(t) for t in known[1:]] if known else []


def attack_strip(claims: Mapping[str, int]) -> Part:
    """Show the tactics with how often each was claimed, `claims` = technique -> count."""
    by_tactic: dict[str, Counter[str]] = {key: Counter() for key in tactics()}
    for technique, count in claims.items():
        for tactic in tactics_of(technique):
            by_tactic[tactic][technique] += count
    top = max((c.total() for c in by_tactic.values()), default=0) or 1
    return html.Ol(
        [_tactic(name, by_tactic[key], top) for key, name in tactics().items()],
        className="attack-strip",
        **{"aria-label": "ATT&CK tactics"},
    )


def _tactic(name: str, claims: Counter[str], top: int) -> Part:
    total = claims.total()
    # Five steps by the square root: one claim beside a thousand must still be seen.
    step = min(5, 1 + int(4.999 * (total / top) ** 0.5)) if total else 0
    most = ", ".join(f"{technique_name(t)} {n}" for t, n in claims.most_common(3))
    inner = [html.Span(name, className="tactic"), html.Strong(count_of(total))]
    look = f"heat-{step}"
    if not total:
        return html.Li(html.Div(inner), className=look)
    first = claims.most_common(1)[0][0]
    link = dcc.Link(inner, href=f"/findings?q={first}&kind=all", title=f"{name}: {most}")
    return html.Li(link, className=look)
