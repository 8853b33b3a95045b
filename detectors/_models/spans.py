"""Say in which lengths of time entities are watched, and by which of their features."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

COUNTS: Final[Mapping[str, str]] = {
    "events": "events of any kind",
    "process_starts": "processes started",
    "sign_ins": "sign-ins",
    "sign_in_failures": "failed sign-ins",
    "connections": "network connections",
    "dns_queries": "DNS queries",
    "bytes_out": "bytes sent",
    "bytes_in": "bytes received",
    "file_changes": "files written, renamed or deleted",
    "records_exported": "records exported",
    "price_changes": "prices changed",
    "discounts": "discounts given",
    "bank_changes": "bank accounts of vendors changed",
    "approvals": "invoices and payments approved",
    "self_approvals": "own invoices and payments approved",
    "mails_sent": "mails and mailings sent",
    "recipients": "recipients of mails sent",
    "bounces": "mails sent in vain",
}
"""What is added up in a window, in the words of a reason."""
THINGS: Final[Mapping[str, str]] = {
    "programs": "different programs",
    "peers": "different addresses and hosts reached",
    "names": "different names asked for",
    "documents": "different documents touched",
}
"""What is told apart in a window, and from what the entity had before."""
AMONG_ALL: Final[Mapping[str, str]] = {
    "customers": "different customers worked on",
    "lone_programs": "programs that nobody else in the house runs",
    "lone_peers": "addresses and hosts that nobody else in the house reaches",
    "lone_names": "names that nobody else in the house asks for",
    "foreign_customers": "customers that only others worked on before",
}
"""What is told apart in a window, some of it by what everybody in the tenant does."""
SHARE: Final = "sent_share"
NEW: Final = "new_"
WORDS_OF: Final[Mapping[str, str]] = {
    **COUNTS,
    **THINGS,
    **AMONG_ALL,
    SHARE: "share of bytes that were sent",
    **{NEW + name: words.replace("different", "never seen") for name, words in THINGS.items()},
}
"""Every feature in the words of a reason."""


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time, and how windows of it are judged.

    `per`: the words for one; `asked`: claims of nothing, a day per 1,000 entities, that its
    threshold is set to; `first`: windows a model is first made of; `warm_up`: windows of an entity
    before it is judged; `features`: what its windows are held against, those that depend on what
    an entity had before at the end; `busy`: what a window must have most of, one of them at least,
    to be judged at all.
    """

    name: str
    length_us: int
    per: str
    asked: float
    first: int
    warm_up: int
    features: tuple[str, ...]
    busy: Mapping[str, int]

    @property
    def most_a_day(self) -> float:
        """Give how many windows a day is full of."""
        return 86_400_000_000 / self.length_us


_NEW: Final = tuple(NEW + name for name in THINGS)
MINUTE: Final = Span(
    "minute",
    60_000_000,
    "a minute",
    asked=1.0,
    first=200,
    # Whoever was never busy is held against its peers' busy minutes: a burst cannot wait.
    warm_up=0,
    features=(
        *("events", "process_starts", "sign_in_failures", "connections", "dns_queries"),
        *("file_changes", "mails_sent", "recipients", "bounces", "programs", "peers", "names"),
        *("new_programs", "new_peers", "new_names"),
    ),
    busy={
        "events": 30,
        "sign_in_failures": 3,
        "mails_sent": 5,
        "recipients": 20,
        "bounces": 3,
    },
)
QUARTER: Final = Span(
    "quarter",
    900_000_000,
    "15 min",
    asked=3.0,
    first=400,
    warm_up=8,
    features=(*COUNTS, *THINGS, *AMONG_ALL, SHARE, *_NEW),
    busy={},
)
DAY: Final = Span(
    "day",
    86_400_000_000,
    "a day",
    asked=1.0,
    first=200,
    warm_up=5,
    features=(
        *("sign_ins", "sign_in_failures", "bytes_out", "records_exported", "price_changes"),
        *("discounts", "bank_changes", "approvals", "self_approvals", "mails_sent"),
        *("recipients", "bounces", *THINGS, *AMONG_ALL, *_NEW),
    ),
    busy={},
)
SPANS: Final = (MINUTE, QUARTER, DAY)
"""Shortest first: each is put together from windows of the first."""
