"""Say how much risk stands on an entity at a moment, what makes it, and how it came to be.

The score is a function of the ledger alone: the same claims, verdicts and moment give the same
score, so history is reckoned, not kept, and a verdict corrects the past too. How it is made:
docs/decisions/019-risk.md.
"""

from typing import Final

from business._event import Event, Transaction
from business.risk._history import Day, history
from business.risk._model import (
    BANDS,
    DAYS,
    HALF_LIFE_DAYS,
    MOST_OF_RULE,
    WEIGHTS,
    Band,
    Factor,
    Part,
    Risk,
    score_of,
)
from business.risk._ranking import MOST_RANKED, behind, ranking, risk_of, risks
from storage.tenant import Scope

TOPICS: Final[tuple[str, ...]] = ()

__all__ = [
    "BANDS",
    "DAYS",
    "HALF_LIFE_DAYS",
    "MOST_OF_RULE",
    "MOST_RANKED",
    "TOPICS",
    "WEIGHTS",
    "Band",
    "Day",
    "Factor",
    "Part",
    "Risk",
    "behind",
    "handle",
    "history",
    "ranking",
    "risk_of",
    "risks",
    "score_of",
]


def handle(scope: Scope, tx: Transaction, event: Event) -> None:
    """Take nothing: the module reads the ledger when it is asked."""
    del scope, tx, event
