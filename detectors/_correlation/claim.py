"""Take a claim as the second flow shows it, and say to which groups of a rule it belongs."""

import itertools
from collections.abc import Iterable, Mapping
from functools import lru_cache
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
BETWEEN: Final = "\x1e"
"""Parts the values of several counted fields."""
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
    tenant_id: str
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


@lru_cache(maxsize=4_096)
def read_claim(text: str) -> Claim:
    """Read a held claim, without what a match does not tell."""
    claim = _DECODER.decode(text)
    return msgspec.structs.replace(
        claim, event_ids=claim.event_ids[:20], links=claim.links[:MOST_LINKS]
    )


_DECODER: Final = msgspec.json.Decoder(Claim)


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
        named = ((claim.entity_type, claim.entity), *claim.links)
        return _once(pair for kind, text in named for pair in named_by(name, kind, text))
    return _once(
        pair for field, text in claim.fields if field == name for pair in told_by(name, text)
    )


def named_by(name: str, kind: str, text: str) -> list[Pair]:
    """Give the entity as one of kind `name`, if it is one by which claims join."""
    pair = canonical(kind, text)
    return [pair] if pair[0] == name and is_joining(*pair) else []


def told_by(name: str, text: str) -> list[Pair]:
    """Give the (kind, value) that a field's text tells; several where it is a list."""
    home = OCSF.get(name, name)
    said = text.split(";") if home in _LISTS else [text]
    kind = _KIND_OF.get(home, "")
    told = (value.strip() if home in _LISTS else value for value in said)
    kept = (value for value in told if value.strip() not in _NONE)
    return [canonical(kind, value) if kind else ("", value.lower()) for value in kept]


def counted(rule: Correlation, base: str, claim: Claim) -> list[str]:
    """Give the values of a base rule's claim that count, as text; one empty text if none is asked.

    Of several fields, their combinations.
    """
    if not rule.value:
        return [""]
    choices = [values(rule.field(name, base), claim) for name in rule.value]
    combined = itertools.islice(itertools.product(*choices), MOST_GROUPS)
    return [BETWEEN.join(f"{kind}:{value}" for kind, value in one) for one in combined]


def _once(pairs: Iterable[Pair]) -> list[Pair]:
    found = dict.fromkeys((kind, short(value)) for kind, value in pairs if value)
    return list(found)[:MOST_GROUPS]


def short(value: str) -> str:
    """Give the value as it stands in a key, without what parts the values there."""
    return value[:_LONGEST].replace("\x1e", " ").replace("\x1f", " ")
