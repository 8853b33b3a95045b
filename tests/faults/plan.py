"""Plan faults by a seed, so that a plan that failed can be run again."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

KINDS: Final = ("producer", "api", "pipelines", "sink", "business", "database", "broker")
"""`producer` sends to the front door; `sink` is the pipelines while their transaction is open."""
_LONGEST_WAIT_S: Final = 0.6


@dataclass(frozen=True, slots=True)
class Fault:
    """Kill -9 one kind, so long after it was seen at work, or after the kill before."""

    kind: str
    wait_s: float
    is_patient: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done to a house: its stream and its kills follow from the seed."""

    home: str
    seed: int
    each: int
    kinds: tuple[str, ...]
    per_s: float = 10.0
    """Requests a second; what was hindered is sent as soon as it can be."""

    @property
    def faults(self) -> list[Fault]:
        """Give the kills in order: rounds, each with every kind once, in random order.

        In every other round nobody waits: what was killed is killed again while it starts.
        """
        dice = random.Random(f"{self.home}/{self.seed}")
        found: list[Fault] = []
        for turn in range(self.each):
            kinds = dice.sample(self.kinds, len(self.kinds))
            waits = [round(dice.uniform(0, _LONGEST_WAIT_S), 3) for _ in kinds]
            patient = turn % 2 == 0
            found += [Fault(k, w, patient) for k, w in zip(kinds, waits, strict=True)]
        return found

    def again(self) -> str:
        """Give the command that does the same once more."""
        return (
            f"python -m tests.faults kills --home {self.home} --seed {self.seed} "
            f"--each {self.each} --kinds {','.join(self.kinds)} --per-s {self.per_s:g}"
        )


def plan(home: str, seed: int, each: int, kinds: Sequence[str] = (), per_s: float = 10.0) -> Plan:
    """Give the plan; without `kinds` all that the home has."""
    have = [kind for kind in KINDS if home == "cluster" or kind != "broker"]
    wanted = tuple(kinds) or tuple(have)
    unknown = set(wanted) - set(have)
    assert not unknown, f"{home} has no {', '.join(sorted(unknown))}"
    return Plan(home, seed, each, wanted, per_s)
