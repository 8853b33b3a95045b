"""Turn hits into findings that say which field matched what."""

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

import polars as pl

from detectors._sigma.atoms import Atom
from detectors._sigma.rules import Hit, RuleSet
from storage.schema import DetectorMeta, Finding, Reason, finding_id
from storage.schema.entity import JOINING

MAX_REASONS: Final = 30
MAX_VALUE: Final = 2048
"""Longest value shown in a reason, characters."""

_ENTITIES: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("host", ("device.hostname", "device.ip")),
    ("user", ("user.name", "actor.user.name", "actor.user.uid")),
    ("ip", ("src_endpoint.ip", "dst_endpoint.ip")),
)
_BUSINESS: Final = (
    ("vendor", ("vendor.uid", "vendor.name")),
    ("customer", ("customer.uid",)),
    ("item", ("item.uid",)),
)
_LINKS: Final[tuple[tuple[str, str], ...]] = (
    ("user", "actor.user.name"),
    ("user", "user.name"),
    ("host", "device.hostname"),
    ("host", "src_endpoint.hostname"),
    ("ip", "device.ip"),
    ("ip", "src_endpoint.ip"),
    ("ip", "dst_endpoint.ip"),
    ("device", "device.uid"),
    ("vendor", "vendor.uid"),
    ("customer", "customer.uid"),
    ("document", "document.uid"),
    ("item", "item.uid"),
    ("domain", "query.hostname"),
    ("domain", "dst_endpoint.hostname"),
    ("domain", "tls.sni"),
    ("process", "process.file.path"),
    ("process", "process.parent_process.file.path"),
    ("process", "actor.process.file.path"),
    ("hash", "process.file.hashes"),
    ("hash", "file.hashes"),
    ("file", "file.path"),
)
"""What stories join by comes first."""
_MAIL: Final = 4009
_SENT: Final = 1
_MOST_RECIPIENTS: Final = 20
_READ: Final = tuple(
    dict.fromkeys(
        ["tenant_id", "event_id", "class_uid", "activity_id", "email.from", "email.to"]
        + [c for _, columns in (*_ENTITIES, *_BUSINESS) for c in columns]
        + [c for _, c in _LINKS]
    )
)


def claims(
    rules: RuleSet,
    frame: pl.DataFrame,
    meta: DetectorMeta,
    sets: Mapping[str, RuleSet] | None = None,
) -> Iterator[Finding]:
    """Give a finding for each (rule, event) of the frame that matches, in the order of the events.

    `sets`: all rule sets by tenant; their correlations say which values a claim carries, and their
    filters which hits on the tenant's events count.
    """
    seen: set[tuple[int, int]] = set()
    made: list[tuple[int, Finding]] = []
    held = set(frame.columns)
    read = frame.select(
        *(c for c in _READ if c in held), pl.col("time").dt.epoch("us").alias("time_us")
    )
    for hit in rules.hits(frame, sets):
        carried = _carried(rules, hit, sets or {})
        for place, row in enumerate(hit.rows.tolist()):
            if (hit.rule, row) not in seen:
                seen.add((hit.rule, row))
                fields = tuple(
                    (name, text[:MAX_VALUE]) for name, of in carried.items() if (text := of[place])
                )
                event = read.row(row, named=True)
                made.append((row, _finding(rules, hit, row, event, meta, fields)))
    # A rule may hit in two lanes. Which of its claims come first must not hang on how the stream is
    # cut: of very many only the first are kept.
    yield from (finding for _, finding in sorted(made, key=itemgetter(0)))


def _carried(
    rules: RuleSet, hit: Hit, sets: Mapping[str, RuleSet]
) -> Mapping[str, list[str | None]]:
    rule_id = rules.rules[hit.rule].rule_id
    names = [name for own in (rules, *sets.values()) for name in own.carried(rule_id)]
    return hit.values(dict.fromkeys(n for n in names if n not in JOINING)) if names else {}


def _finding(
    rules: RuleSet,
    hit: Hit,
    row: int,
    event: Mapping[str, Any],
    meta: DetectorMeta,
    fields: tuple[tuple[str, str], ...],
) -> Finding:
    rule = rules.rules[hit.rule]
    version = f"{meta.version}.{rule.version}"
    mail = _mail(event)
    entity_type, entity = _entity(event, mail)
    links = dict.fromkeys(
        (kind, str(event[column])[:MAX_VALUE]) for kind, column in _LINKS if event.get(column)
    )
    links |= dict.fromkeys(mail)
    return Finding(
        finding_id=finding_id(
            event["tenant_id"], meta.name, version, rule.rule_id, event["event_id"]
        ),
        tenant_id=event["tenant_id"],
        detector=meta.name,
        detector_version=version,
        rule_id=rule.rule_id,
        title=rule.title,
        level=rule.level,
        time_us=event["time_us"],
        entity_type=entity_type,
        entity=entity,
        event_ids=(event["event_id"],),
        reasons=_reasons(hit.why(row)),
        attack=rule.attack,
        links=tuple(link for link in links if link != (entity_type, entity)),
        kind=rules.kind(rule),
        fields=fields,
    )


def _mail(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Give whom of ours a mail concerns, as users, and the domain on the other side."""
    if event["class_uid"] != _MAIL:
        return []
    sender = [_address(str(event.get("email.from") or ""))]
    listed = str(event.get("email.to") or "")[: 64 * MAX_VALUE].split(";", _MOST_RECIPIENTS)
    recipients = [_address(part) for part in listed[:_MOST_RECIPIENTS]]
    is_sent = event.get("activity_id") == _SENT
    ours, theirs = (sender, recipients) if is_sent else (recipients, sender)
    domains = (address.rpartition("@")[2] for address in theirs)
    return [
        *(("user", address) for address in ours if address),
        *(("domain", domain) for domain in domains if domain),
    ]


def _address(text: str) -> str:
    """Give the address alone of `Ann Lee <ann@corp.example>`."""
    return text.rpartition("<")[2].strip(" >")[:MAX_VALUE]


def _entity(event: Mapping[str, Any], mail: Sequence[tuple[str, str]]) -> tuple[str, str]:
    is_business = event["class_uid"] // 1000 == 999
    for kind, columns in (*_BUSINESS, *_ENTITIES) if is_business else _ENTITIES:
        for column in columns:
            if event.get(column):
                return kind, str(event[column])[:MAX_VALUE]
    return mail[0] if mail else ("event", str(event["event_id"]))


def _reasons(why: list[tuple[Atom, str]]) -> tuple[Reason, ...]:
    found = dict.fromkeys(
        Reason(atom.field or "any field", value[:MAX_VALUE], atom.shown) for atom, value in why
    )
    return tuple(found)[:MAX_REASONS]
