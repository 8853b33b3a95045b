"""Read which ATT&CK techniques the running rules look for, and what they claimed of each."""

from collections import defaultdict
from dataclasses import dataclass, field

from dashboards.read import rules as read
from dashboards.read.detectors import detectors
from dashboards.read.rules import Listed
from dashboards.ui.attack import tactics, tactics_of, technique_name, techniques
from storage.database import Database
from storage.settings import Settings
from storage.tenant import Scope


@dataclass(slots=True)
class Technique:
    """One technique: the rules that run for it (title, id), and their claims of seven days."""

    technique: str
    name: str
    rules: list[tuple[str, str]] = field(default_factory=list)
    claims: int = 0


@dataclass(frozen=True, slots=True)
class Coverage:
    """Techniques by tactic in ATT&CK's order, the covered first; ids that no tactic is known of."""

    by_tactic: dict[str, list[Technique]]
    unknown: list[Technique]
    idle: int

    @property
    def covered(self) -> int:
        """Give how many known techniques at least one rule runs for."""
        found = {t.technique for of in self.by_tactic.values() for t in of if t.rules}
        return len(found)

    @property
    def known(self) -> int:
        """Give how many techniques there are."""
        return len({t.technique for of in self.by_tactic.values() for t in of})


def coverage(database: Database, settings: Settings, scope: Scope) -> Coverage:
    """Put running rules and detectors under their techniques; sub-techniques under their own.

    A rule that rests, or cannot run, covers nothing: `idle` counts those that name a technique.
    """
    listed = read.listed(database, settings, scope)
    found: dict[str, Technique] = defaultdict(lambda: Technique("", ""))
    idle = 0
    for one in listed:
        if one.rule.attack and (one.rule.problem or not one.rule.enabled):
            idle += 1
            continue
        for name in dict.fromkeys(t.partition(".")[0] for t in one.rule.attack):
            _put(found, name, one.rule.title, one.rule.rule_id, one)
    seen = {one.rule.rule_id.partition(".")[0] for one in listed}
    for detector in detectors().values():
        if detector.name not in seen:
            for name in dict.fromkeys(t.partition(".")[0] for t in detector.attack):
                _put(found, name, detector.title, detector.name, None)
    every = {
        name: found.get(name) or Technique(name, technique_name(name)) for name in techniques()
    }
    by_tactic = {key: [t for n, t in every.items() if key in tactics_of(n)] for key in tactics()}
    return Coverage(
        {
            key: sorted(of, key=lambda t: (not t.rules, -len(t.rules), t.name))
            for key, of in by_tactic.items()
        },
        [t for name, t in found.items() if name not in every],
        idle,
    )


def _put(
    found: dict[str, Technique], name: str, title: str, rule_id: str, listed: Listed | None
) -> None:
    one = found[name]
    one.technique, one.name = name, technique_name(name)
    one.rules.append((title, rule_id))
    one.claims += listed.figures.week if listed else 0
