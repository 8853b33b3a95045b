"""Read a hunt from its address and write it back: the URL is the only state."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from dashboards.read.hunt_words import Word, read_words, say_words
from dashboards.read.hunts import SPANS

LONGEST_SQL: Final = 20_000
_LONGEST: Final = 3000


@dataclass(frozen=True, slots=True)
class HuntAsk:
    """Hold what is asked. `sql`: a query of the person's own, never run because a link has it."""

    q: str = ""
    span: str = "24h"
    since: str = ""
    until: str = ""
    event: str = ""
    sql: str = ""

    @classmethod
    def read(cls, search: str) -> "HuntAsk":
        """Read it from a URL's query; what is unknown or malformed is left out.

        >>> HuntAsk.read("?q=ann&span=never").span
        '24h'
        """
        try:
            told = parse_qs(search.removeprefix("?")[:80_000], max_num_fields=20)
        except ValueError:
            told = {}
        given = {f.name: told.get(f.name, [""])[0].replace("\x00", "") for f in fields(cls)}
        given = {k: v[: LONGEST_SQL if k == "sql" else _LONGEST] for k, v in given.items()}
        given["span"] = given["span"] if given["span"] in SPANS else "24h"
        for edge in ("since", "until"):
            given[edge] = given[edge] if _time(given[edge]) else ""
        return cls(**given)

    def search(self) -> str:
        """Write it as a URL's query; defaults are left out."""
        usual = HuntAsk()
        told = {f.name: getattr(self, f.name) for f in fields(self)}
        kept = {k: v for k, v in told.items() if v != getattr(usual, k)}
        return f"?{urlencode(kept, safe=',:')}" if kept else "?"

    def but(self, **changes: Any) -> "HuntAsk":  # noqa: ANN401  dataclasses.replace is so
        """Give the same with these changed."""
        return replace(self, **changes)

    @property
    def words(self) -> list[Word]:
        """Give its conditions."""
        return read_words(self.q)

    def with_words(self, words: Sequence[Word]) -> "HuntAsk":
        """Give the same with other conditions."""
        return replace(self, q=say_words(words), event="", sql="")

    @property
    def bounds(self) -> tuple[datetime | None, datetime | None]:
        """Give since and until as times; None where nothing is said."""
        return _time(self.since), _time(self.until)

    @property
    def looked(self) -> "HuntAsk":
        """Give what the answer depends on: the same without the event that is open."""
        return replace(self, event="", sql="")


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    if found is None or not 1970 <= found.year < 9999:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
