"""Make an exception from a finding: a Sigma filter of the tenant's own, and what it takes out.

An exception names what an event must show to be no finding of that rule any more: the entities that
the finding names, in the words of the event; for claims of correlations and of detectors in code,
what the claim must name. It is a rule text like others: versioned, listed, rested, deleted.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import yaml
from psycopg import Connection
from psycopg.rows import TupleRow

from api.rule_check import checker, house_rules, own_rules
from storage.database.queries import select
from storage.errors import InvalidInput, NotFound
from storage.rules import GRANT, save_rule, tenant_rules
from storage.schema.finding import entities_text
from storage.settings import Settings
from storage.tenant import Scope

DAYS: Final = 30
FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "host": ("device.hostname",),
    "user": ("actor.user.name", "user.name"),
    "process": ("process.file.path",),
    "ip": ("src_endpoint.ip", "dst_endpoint.ip", "device.ip"),
    "domain": ("query.hostname", "dst_endpoint.hostname", "tls.sni"),
    "file": ("file.path",),
    "hash": ("process.file.hashes", "file.hashes"),
    "vendor": ("vendor.uid",),
    "customer": ("customer.uid",),
    "item": ("item.uid",),
    "document": ("document.uid",),
    "device": ("device.uid",),
}
"""Kind of entity -> the fields of an event that may name it."""
WORDS: Final[dict[str, str]] = {
    "host": "Host",
    "user": "Account",
    "process": "Program",
    "ip": "Address",
    "domain": "Domain",
    "file": "File",
    "hash": "Hash",
    "vendor": "Vendor",
    "customer": "Customer",
    "item": "Item",
    "document": "Document",
    "device": "Device",
}
_USUAL: Final = ("host", "user", "process", "vendor", "customer")
"""What is proposed first: two of these."""
_PROPOSED: Final = 2
MOST: Final = 12
LONGEST_WHY: Final = 300
Pair = tuple[str, str]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Effect:
    """What an exception would have taken out of the last days: findings and signals by level.

    `of`: how many the rule made; `right`: how many of those taken out people judged true.
    """

    removed: int
    of: int
    right: int
    by_level: tuple[tuple[str, int], ...]


def conditions_of(finding: Row) -> list[Pair]:
    """Give what an exception from a finding may ask for: its entity first, then what it touches."""
    named = [(str(finding["entity_type"]), str(finding["entity"]))]
    named += [(str(link[0]), str(link[1])) for link in finding["links"] or [] if len(link) >= 2]
    return [pair for pair in dict.fromkeys(named) if pair[0] in FIELDS and pair[1]][:MOST]


def proposed(pairs: Sequence[Pair]) -> list[Pair]:
    """Give those that tell most: who, where, with what."""
    ranked = [pair for kind in _USUAL for pair in pairs if pair[0] == kind]
    return (ranked or list(pairs))[:_PROPOSED]


def effect_of(
    scope: Scope, tx: Connection[TupleRow], finding: Row, chosen: Sequence[Pair], now: datetime
) -> Effect:
    """Count what the exception would have taken out of the last thirty days. Needs `findings:read`.

    From the claims that were kept: those of the rule that name all the entities.
    """
    scope.require("findings:read")
    rows = select(
        tx,
        "exception_effect",
        rule_id=finding["rule_id"],
        kinds=[kind for kind, _ in chosen],
        names=[name for _, name in chosen],
        since=now - timedelta(days=DAYS),
        until=now + timedelta(days=1),
    )
    removed = tuple((str(r["level"]), int(str(r["removed"]))) for r in rows)
    return Effect(
        sum(count for _, count in removed),
        sum(int(str(r["claims"])) for r in rows),
        sum(int(str(r["right_ones"])) for r in rows),
        tuple((level, count) for level, count in removed if count),
    )


def text_of(
    finding: Row,
    logsource: Mapping[str, str],
    chosen: Sequence[Pair],
    why: str,
    made_by: str,
    until: datetime | None = None,
) -> str:
    """Give the exception as a Sigma filter for the rule's `logsource`; `until`: when it ends.

    InvalidInput if nothing is chosen, or not of this finding. The same rule and choice give the
    same id: an exception made twice is one.
    """
    allowed = conditions_of(finding)
    pairs = [pair for pair in dict.fromkeys(chosen) if pair in allowed]
    if not pairs or len(pairs) != len(set(chosen)):
        raise InvalidInput("choose at least one of the things that the finding names")
    wanted = why.strip()
    if not wanted or len(wanted) > LONGEST_WHY or not wanted.isprintable():
        raise InvalidInput(f"say why it is no threat, in 1 to {LONGEST_WHY} printable characters")
    selections: dict[str, Any] = {}
    words = []
    for number, pair in enumerate(pairs, 1):
        one_of = []
        for place, field in enumerate(_fields(finding, pair), 1):
            selections[f"is_{number}_{place}"] = field
            one_of.append(f"is_{number}_{place}")
        words.append(f"({' or '.join(one_of)})")
    rule_id = str(finding["rule_id"])
    key = "\x1f".join([rule_id, *(f"{kind}={name}" for kind, name in pairs)])
    till = "" if until is None else f" until {until:%Y-%m-%d %H:%M} UTC"
    document = {
        "title": f"Exception{till}: {finding['title']}"[:200],
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:inopsio:exception:{key}")),
        "description": f"Not a threat because {wanted} ({made_by})",
        "logsource": dict(logsource),
        **({} if until is None else {"until": until.isoformat(timespec="seconds")}),
        "filter": {"rules": [rule_id], **selections, "condition": f"not ({' and '.join(words)})"},
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=10_000)


def _fields(finding: Row, pair: Pair) -> list[dict[str, str]]:
    """Give the tests of which one must hold: on the events, or on the claim itself."""
    if is_of_events(finding):
        return [{field: _literal(pair[1])} for field in FIELDS[pair[0]]]
    return [{"entities|contains": _literal(entities_text([pair]))}]


def is_of_events(finding: Row) -> bool:
    """Answer whether the exception looks at events, as for Sigma rules, or at claims."""
    return str(finding["detector"]) == "sigma"


def _literal(name: str) -> str:
    """Give a value in which nothing is a wildcard."""
    return name.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")


def save_exception(
    scope: Scope,
    tx: Connection[TupleRow],
    settings: Settings,
    finding: Row,
    chosen: Sequence[Pair],
    why: str,
    until: datetime | None = None,
) -> str:
    """Keep the exception; the flows go by it within about ten seconds. Give its id.

    `until`: events and claims from then on are findings again; None: for good. Needs `rules:write`.
    """
    scope.require(GRANT)
    logsource = _logsource(tx, settings, finding)
    text = text_of(finding, logsource, chosen, why, scope.actor.name, until)
    return save_rule(scope, tx, text, checker(settings), f"not a threat because {why.strip()}")


def _logsource(tx: Connection[TupleRow], settings: Settings, finding: Row) -> dict[str, str]:
    """Give the log source of the finding's rule; InvalidInput where an exception is none."""
    if not is_of_events(finding):
        return {"product": "inopsio", "category": "finding"}
    texts = {str(r["rule_id"]): str(r["text"]) for r in tenant_rules(tx)}
    for rule in (*own_rules(settings, texts).rules, *house_rules(settings).rules):
        if rule.rule_id == str(finding["rule_id"]):
            told = {"product": rule.product, "category": rule.category, "service": rule.service}
            return {name: value for name, value in told.items() if value}
    raise InvalidInput("the rule of this finding is not here any more; it claims nothing now")


def finding_for(tx: Connection[TupleRow], finding_id: str) -> Row:
    """Give the finding; NotFound if the scope has none of that id."""
    try:
        wanted = str(uuid.UUID(finding_id))
    except ValueError:
        raise NotFound("there is no finding of that id") from None
    rows = select(tx, "finding_get", finding_id=wanted)
    if not rows:
        raise NotFound("there is no finding of that id")
    return rows[0]
