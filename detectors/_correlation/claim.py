"""Take a claim as the second flow shows it, and say to which groups of a rule it belongs."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from detectors._correlation.rule import Correlation
from detectors._sigma.fields import OCSF
from storage.schema import canonical, is_joining
from storage.schema.entity import JOINING

Pair = tuple[str, str]
MOST_GROUPS: Final = 16
"""Groups of one rule that one claim may stand in, where it names several entities of a kind."""
MOST_LINKS: Final = 24
_LONGEST: Final = 256
"""Characters of a value that tell groups apart."""
_NONE: Final = frozenset({"", "-"})

_KIND_OF: Final[Mapping[str, str]] = {
    "user.name": "user",
    "actor.user.name": "user",
    "email.to": "user",
    "device.hostname": "host",
    "src_endpoint.hostname": "host",
    "dst_endpoint.hostname": "host",
    "device.ip": "ip",
    "src_endpoint.ip": "ip",
    "dst_endpoint.ip": "ip",
    "query.hostname": "domain",
    "device.uid": "device",
}
"""Event column -> kind of entity it names, for comparing by canonical name."""
_LISTS: Final = frozenset({"email.to"})


class Claim(msgspec.Struct, frozen=True):
    """One claim of the first flow, or a correlation's own where another rests on it."""

    finding_id: str
    detector: str
    rule_id: str
    title: str
    time_us: int
    entity_type: str
    entity: str
    event_ids: tuple[str, ...] = ()
    event_count: int = 1
    attack: tuple[str, ...] = ()
    links: tuple[Pair, ...] = ()
    parts: tuple[str, ...] = ()
    fields: tuple[Pair, ...] = ()


def slim(claim: Claim) -> Claim:
    """Leave away what a held claim does not need."""
    return msgspec.structs.replace(
        claim, event_ids=claim.event_ids[:20], links=claim.links[:MOST_LINKS]
    )


def is_about(rule: str, claim: Claim) -> bool:
    """Answer whether the claim is one of base rule `rule`: a rule id, or a detector's name."""
    return rule in (claim.rule_id, claim.detector)


def groups(rule: Correlation, base: str, claim: Claim) -> list[tuple[Pair, ...]]:
    """Give the group keys under which a base rule's claim counts; none if it lacks a value."""
    choices = [values(rule.field(name, base), claim) for name in rule.group_by]
    return list(itertools.islice(itertools.product(*choices), MOST_GROUPS))


def values(name: str, claim: Claim) -> list[Pair]:
    """Give the claim's (kind, value) for a field, or for a kind of entity; kind "" = plain text."""
    if name in JOINING:
        named = (canonical(k, n) for k, n in ((claim.entity_type, claim.entity), *claim.links))
        return _once(pair for pair in named if pair[0] == name and is_joining(*pair))
    said = [value for field, value in claim.fields if field == name]
    home = OCSF.get(name, name)
    if home in _LISTS:
        said = [part.strip() for value in said for part in value.split(";")]
    kind = _KIND_OF.get(home, "")
    told = (value for value in said if value.strip() not in _NONE)
    return _once(canonical(kind, value) if kind else ("", value.lower()) for value in told)


def _once(pairs: Iterable[Pair]) -> list[Pair]:
    found = dict.fromkeys((kind, value[:_LONGEST]) for kind, value in pairs if value)
    return list(found)[:MOST_GROUPS]
