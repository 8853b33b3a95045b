"""Read a page's filters from its URL and write them back: the URL is the only state."""

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from dashboards.ui.marks import LEVELS

RANGES: Final = {"all": "All time", "24h": "24 hours", "7d": "7 days", "30d": "30 days"}
"""Ranges end at the newest finding: replayed logs are as old as they are."""
_SPAN: Final = {"24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
SORTS: Final = {
    "newest": "Newest first",
    "oldest": "Oldest first",
    "level": "Gravest first",
    "count": "Most events first",
}
KINDS: Final = {"finding": "Findings", "all": "Findings and signals", "signal": "Signals only"}
STATES: Final = {"open": "Not judged", "all": "All"}
SHAPES: Final = {"grouped": "Grouped", "flat": "One by one"}
EXCLUDED: Final = ("level", "detector", "rule", "entity")
"""Fields whose values can be left out; `no` holds them as 'field:value'."""
MOST_EXCLUDED: Final = 20
MOST_PAGES: Final = 200
_LONGEST: Final = 300
_CHOICES: Final = {
    "range": (RANGES, "all"),
    "sort": (SORTS, "newest"),
    "kind": (KINDS, "finding"),
    "state": (STATES, "open"),
    "shape": (SHAPES, "grouped"),
}


@dataclass(frozen=True, slots=True)
class FindingFilter:
    """Hold what of the findings is asked for; the defaults ask for all."""

    level: tuple[str, ...] = ()
    detector: str = ""
    rule: str = ""
    entity: str = ""
    q: str = ""
    range: str = "all"
    since: str = ""
    until: str = ""
    sort: str = "newest"
    kind: str = "finding"
    state: str = "open"
    shape: str = "grouped"
    no: tuple[str, ...] = ()
    page: int = 0

    @classmethod
    def read(cls, search: str) -> "FindingFilter":
        """Read them from a URL's query; what is unknown or malformed is left out.

        >>> FindingFilter.read("?level=high,low&range=7d").level
        ('high', 'low')
        """
        parsed = _parsed(search)
        given = {k: v[0].replace("\x00", "")[:_LONGEST] for k, v in parsed.items()}
        words = {f.name: given.get(f.name, "") for f in fields(cls)}
        asked = words.pop("level").split(",")
        page = words.pop("page")
        words.pop("no")
        for name, (offered, usual) in _CHOICES.items():
            words[name] = words[name] if words[name] in offered else usual
        for edge in ("since", "until"):
            words[edge] = words[edge] if _time(words[edge]) else ""
        no = (n.replace("\x00", "")[:_LONGEST] for n in parsed.get("no", []))
        return cls(
            level=tuple(level for level in LEVELS if level in asked),
            no=tuple(sorted({n for n in no if _is_exclusion(n)}))[:MOST_EXCLUDED],
            page=min(int(page), MOST_PAGES) if page.isascii() and page.isdigit() else 0,
            **words,
        )

    def search(self) -> str:
        """Write them as a URL's query; defaults are left out.

        >>> FindingFilter(level=("high",), q="a&b").search()
        '?level=high&q=a%26b'
        """
        usual = FindingFilter()
        told = {f.name: getattr(self, f.name) for f in fields(self)}
        said = {k: ",".join(v) if k == "level" else v for k, v in told.items()}
        kept = {k: v for k, v in said.items() if told[k] != getattr(usual, k)}
        return f"?{urlencode(kept, doseq=True, safe=',:')}" if kept else ""

    def without(self, field: str, value: str) -> "FindingFilter":
        """Give the same with this value of a field left out."""
        no = {*self.no, f"{field}:{value}"[:_LONGEST]}
        return replace(self, no=tuple(sorted(no))[:MOST_EXCLUDED], page=0)

    def excluded(self, field: str) -> list[str] | None:
        """Give the values of a field that are left out; None if there are none."""
        found = [n.partition(":")[2] for n in self.no if n.partition(":")[0] == field]
        return found or None

    def but(self, **changes: Any) -> "FindingFilter":  # noqa: ANN401  dataclasses.replace is so
        """Give the same with these changed."""
        return replace(self, **changes)

    def bounds(self, newest: datetime | None) -> tuple[datetime | None, datetime | None]:
        """Give since and until; a named range is counted back from the newest finding."""
        since, until = _time(self.since), _time(self.until)
        if since is None and until is None and self.range in _SPAN and newest is not None:
            since = newest - _SPAN[self.range]
        return since, until

    def params(self, newest: datetime | None) -> dict[str, Any]:
        """Give the parameters of the console's finding queries."""
        since, until = self.bounds(newest)
        return {
            "since": since,
            "until": until,
            "levels": list(self.level) or None,
            "detector": self.detector or None,
            "rule_id": self.rule or None,
            "entity": self.entity or None,
            "text": like(self.q),
            "kind": self.kind,
            "state": self.state,
            **{f"no_{name}": self.excluded(field) for field, name in _NO.items()},
        }


_NO: Final = {
    "level": "levels",
    "detector": "detectors",
    "rule": "rules",
    "entity": "entities",
}


def _is_exclusion(text: str) -> bool:
    field, _, value = text.partition(":")
    return field in EXCLUDED and bool(value)


def _parsed(search: str) -> dict[str, list[str]]:
    try:
        return parse_qs(search.removeprefix("?")[:4000], max_num_fields=40)
    except ValueError:
        return {}


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    if found is None or not 1970 <= found.year < 9999:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def like(text: str) -> str | None:
    r"""Give the LIKE pattern for 'contains this text', its own wildcards made harmless.

    >>> like("50%_x")
    '%50\\%\\_x%'
    """
    if not text:
        return None
    safe = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{safe}%"
