"""Say what a machine claims: which detector, which entity, how grave, which events, why."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

Level = Literal["informational", "low", "medium", "high", "critical"]
Kind = Literal["finding", "signal"]
"""A finding asks for a person's eye; a signal only counts together with others."""
ENDS_NAME: Final = "\x1f"
ENDS_PAIR: Final = "\x1e"
"""Part (name, text) pairs where a row of topic `signals` shows them as one text."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Give one ground of a finding, in words that a screen shows as they are.

    A matched field: `name` = field, `value` = what it held, `expected` = the pattern it matched.
    A model's feature: `name` = feature, `value` = seen, `expected` = usual, `weight` = its share.
    """

    name: str
    value: str
    expected: str = ""
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Claim once, never edited; the same input gives the same `finding_id`.

    `detector`: module name; `rule_id`: the rule within it (the detector's name if it has none);
    `time_us`: event time of the claim, UTC µs; `entity_type`: host, user, process, ip, vendor, ...;
    `event_ids`: the events it rests on (at most 100, first ones); `event_count`: how many there
    were; `attack`: ATT&CK technique ids; `kind`: a signal stays out of the queue;
    `parts`: ids of the signals and findings that a correlation rests on, in order of time.
    """

    finding_id: str
    tenant_id: str
    detector: str
    detector_version: str
    rule_id: str
    title: str
    level: Level
    time_us: int
    entity_type: str
    entity: str
    event_ids: tuple[str, ...]
    event_count: int = 1
    reasons: tuple[Reason, ...] = ()
    attack: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = field(default=())
    """Other entities it touches, as (entity_type, entity)."""
    kind: Kind = "finding"
    parts: tuple[str, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()
    """Values of its event that correlation rules group by, as (field, value)."""


def finding_id(tenant_id: str, detector: str, version: str, rule_id: str, group: str) -> str:
    """Derive the id from what the claim is about, so that a replay claims the same thing.

    `group`: event id for a single-event rule, else group key and window start.

    >>> finding_id("t", "sigma", "1", "r", "e")
    '1e308ad8-6136-6a93-1f05-b909039aa264'
    """
    text = f"{tenant_id}\x1f{detector}\x1f{version}\x1f{rule_id}\x1f{group}".encode()
    h = hashlib.blake2b(text, digest_size=16).hexdigest()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def entities_text(named: Iterable[tuple[str, str]]) -> str:
    """Give entities as one text, in which `;kind=name;` stands for each and for nothing else.

    >>> entities_text([("host", "pc1"), ("user", "x;user=ann")])
    ';host=pc1;user=x user=ann;'
    """
    return ";" + "".join(f"{kind}={name.replace(';', ' ')};" for kind, name in named)
