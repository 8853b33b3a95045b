"""Carry files of many formats into a house: one company's bad day, told by its own systems.

The samples hold places in the story instead of times (`{{iso +75}}`); they are written with real
times to `story/` of the data folder, once, so that playing again changes nothing.
"""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from deploy.ground import FIRST_TENANT
from deploy.house import opened
from deploy.ingest import Result, carry
from storage.settings import Settings
from storage.tenant import system_scope

SAMPLES: Final = Path(__file__).parent / "samples"
_PLACE: Final = re.compile(r"\{\{(iso|epoch) ([+-]\d+)\}\}")
_BEFORE_NOW: Final = timedelta(hours=1)


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


def play(settings: Settings) -> list[Result]:
    """Carry the story into the running house; give what became of each file."""
    files = story(settings.data_dir / "story", datetime.now(UTC))
    scope = system_scope(FIRST_TENANT, "inopsio demo")
    with opened(settings) as house:
        # One after the other: the day's invoice is held against the ledger before it, and files
        # carried together are read in no particular order.
        return [result for file in files for result in carry(house, scope, [file], None)]
