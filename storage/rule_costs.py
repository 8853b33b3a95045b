"""Keep what each rule cost when it was last measured: a file in the data folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

FILE: Final = "rule-costs.json"
_MOST_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class RuleCosts:
    """Hold CPU microseconds for 1,000 events by rule id (small letters); when, over how many."""

    at: str = ""
    events: int = 0
    cpu_us: Mapping[str, float] = field(default_factory=dict)

    def said(self) -> str:
        """Say it for people."""
        if not self.cpu_us:
            return "Cost is not measured yet: inopsio rule cost --data LOGS --keep"
        return (
            "Cost: CPU microseconds for 1,000 events, each rule alone; last measured "
            f"{self.at} over {self.events:,} events."
        )


def keep(data_dir: Path, at: str, events: int, cpu_us: Mapping[str, float]) -> None:
    """Write a run down; what rules of earlier runs cost stays, where they are not in this one."""
    known = {**kept(data_dir).cpu_us, **{name.lower(): us for name, us in cpu_us.items()}}
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = data_dir / f"{FILE}.tmp"
    draft.write_text(json.dumps({"at": at, "events": events, "cpu_us": known}), encoding="utf-8")
    draft.replace(data_dir / FILE)


def kept(data_dir: Path) -> RuleCosts:
    """Give what was measured last; nothing where nothing was, or the file is broken."""
    try:
        path = data_dir / FILE
        if path.stat().st_size > _MOST_BYTES:
            return RuleCosts()
        told = json.loads(path.read_text(encoding="utf-8"))
        costs = {str(name): float(us) for name, us in told["cpu_us"].items()}
        return RuleCosts(str(told["at"])[:40], int(told["events"]), costs)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return RuleCosts()
