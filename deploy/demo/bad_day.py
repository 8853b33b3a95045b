"""Play the project's own samples: one company's bad day, told by its own systems.

The samples of `deploy/samples/` hold places in the story instead of times (`{{iso +75}}`); they are
written with real times to `story/` of the data folder, once, so that playing again changes nothing.
"""

import re
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from deploy.ground import FIRST_TENANT
from deploy.house import House, opened
from deploy.ingest import Result, carry
from deploy.output import say
from deploy.up import up
from storage.database.queries import select
from storage.errors import InopsioError
from storage.settings import Settings
from storage.tenant import Scope, system_scope

SAMPLES: Final = Path(__file__).parents[1] / "samples"
_PLACE: Final = re.compile(r"\{\{(iso|epoch) ([+-]\d+)\}\}")
_FILTERS: Final = (
    *("since", "until", "level", "detector", "rule_id", "entity_type", "entity"),
    *("before", "before_id"),
)
_MOST: Final = 1000
_BEFORE_NOW: Final = timedelta(hours=1)

_GUIDE: Final = """
What to look at, once you have signed in:
  Findings   a Word document starts a script host on WS-ANN; LSASS is dumped; shadow copies of FS-01
             are deleted: open one and see the rule with the fields that matched
  Findings   detector 'invoice_amount': INV-4007 is forty times what that vendor ever asked for,
             and the account that made it approved it
  Findings   detector 'activity' (half a minute later): host 10.20.0.14 asks far more names than it
             usually does: that is the tunnel
  Hunt       everything that 198.51.100.7 touched
"""


def told_at(text: str, start: datetime) -> str:
    """Put real times in for the places of a sample; the story starts at `start` (UTC).

    >>> told_at("{{iso +60}} {{epoch -1}}", datetime(2026, 1, 1, tzinfo=UTC))
    '2026-01-01T00:01:00Z 1767225599'
    """

    def moment(found: re.Match[str]) -> str:
        at = start + timedelta(seconds=int(found[2]))
        return f"{at:%Y-%m-%dT%H:%M:%SZ}" if found[1] == "iso" else str(int(at.timestamp()))

    return _PLACE.sub(moment, text)


def story(folder: Path, now: datetime) -> list[Path]:
    """Give the story's files in order; written with real times at the first call."""
    folder.mkdir(parents=True, exist_ok=True)
    start = (now - _BEFORE_NOW).replace(microsecond=0)
    told = []
    for sample in sorted(p for p in SAMPLES.iterdir() if p.name[0].isdigit()):
        place = folder / sample.name
        if not place.exists():
            draft = place.with_suffix(".tmp")
            draft.write_text(told_at(sample.read_text("utf-8"), start), "utf-8")
            draft.replace(place)
        told.append(place)
    return told


def play(settings: Settings) -> tuple[list[Result], list[str]]:
    """Carry the story into the running house; give what became of each file, and the findings."""
    files = story(settings.data_dir / "story", datetime.now(UTC))
    scope = system_scope(FIRST_TENANT, "inopsio demo")
    with opened(settings) as house:
        # One after the other: the day's invoice is held against the ledger before it, and files
        # carried together are read in no particular order.
        results = [result for file in files for result in carry(house, scope, [file], None)]
        return results, _levels(house, scope)


def _levels(house: House, scope: Scope) -> list[str]:
    wanted = dict.fromkeys(_FILTERS, None)
    with house.database.app(scope) as connection:
        rows = select(connection, "findings_page", **wanted, limit=_MOST)
    return [str(row["level"]) for row in rows]


def demo(settings: Settings, *, stay: bool = True) -> bool:
    """Bring a house up, play the story in it, say what to look at; True if all of it was read."""
    whole: list[bool] = []

    def tell(stop: threading.Event) -> None:
        try:
            results, levels = play(settings)
            for result in results:
                name = result.file.rpartition("/")[2]
                say(f"  {name:24} {result.format:20} {result.events} events")
                if result.reason is not None:
                    say(f"  {name}: {result.reason}")
            whole.append(all(r.is_whole() for r in results))
            counts = ", ".join(f"{n} {level}" for level, n in Counter(levels).most_common())
            say(f"{sum(r.events for r in results)} events, {len(levels)} findings ({counts})")
            say(_GUIDE)
        except InopsioError as failed:
            say(f"the story could not be played: {failed}")
        finally:
            if not stay or not whole:
                stop.set()

    up(settings, tell)
    return whole == [True]
