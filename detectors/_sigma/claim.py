"""Turn hits into findings that say which field matched what."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import polars as pl

from detectors._sigma.atoms import Atom
from detectors._sigma.rules import Hit, RuleSet
from storage.schema import DetectorMeta, Finding, Reason, finding_id

MAX_REASONS: Final = 30
MAX_VALUE: Final = 2048
"""Longest value shown in a reason, characters."""

_ENTITIES: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("host", ("device.hostname", "device.ip")),
    ("user", ("user.name", "actor.user.name", "actor.user.uid")),
    ("ip", ("src_endpoint.ip", "dst_endpoint.ip")),
)
_BUSINESS: Final = (("vendor", ("vendor.uid", "vendor.name")), ("customer", ("customer.uid",)))
_LINKS: Final[tuple[tuple[str, str], ...]] = (
    ("user", "actor.user.name"),
    ("user", "user.name"),
    ("process", "process.file.path"),
    ("process", "process.parent_process.file.path"),
    ("process", "actor.process.file.path"),
    ("hash", "process.file.hashes"),
    ("hash", "file.hashes"),
    ("file", "file.path"),
    ("ip", "src_endpoint.ip"),
    ("ip", "dst_endpoint.ip"),
    ("domain", "query.hostname"),
    ("domain", "dst_endpoint.hostname"),
    ("vendor", "vendor.uid"),
    ("document", "document.uid"),
)
_READ: Final = tuple(
    dict.fromkeys(
        ["tenant_id", "event_id", "class_uid"]
        + [c for _, columns in (*_ENTITIES, *_BUSINESS) for c in columns]
        + [c for _, c in _LINKS]
    )
)


def claims(rules: RuleSet, frame: pl.DataFrame, meta: DetectorMeta) -> Iterator[Finding]:
    """Give a finding for each (rule, event) of the frame that matches."""
    seen: set[tuple[int, int]] = set()
    read = frame.select(
        *(c for c in _READ if c in frame.columns), pl.col("time").dt.epoch("us").alias("time_us")
    )
    for hit in rules.hits(frame):
        for row in hit.rows.tolist():
            if (hit.rule, row) not in seen:
                seen.add((hit.rule, row))
                yield _finding(rules, hit, row, read.row(row, named=True), meta)


def _finding(
    rules: RuleSet, hit: Hit, row: int, event: Mapping[str, Any], meta: DetectorMeta
) -> Finding:
    rule = rules.rules[hit.rule]
    version = f"{meta.version}.{rule.version}"
    entity_type, entity = _entity(event)
    links = dict.fromkeys(
        (kind, str(event[column])[:MAX_VALUE]) for kind, column in _LINKS if event.get(column)
    )
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
    )


def _entity(event: Mapping[str, Any]) -> tuple[str, str]:
    is_business = event["class_uid"] // 1000 == 999
    for kind, columns in (*_BUSINESS, *_ENTITIES) if is_business else _ENTITIES:
        for column in columns:
            if event.get(column):
                return kind, str(event[column])[:MAX_VALUE]
    return "event", str(event["event_id"])


def _reasons(why: list[tuple[Atom, str]]) -> tuple[Reason, ...]:
    found = dict.fromkeys(
        Reason(atom.field or "any field", value[:MAX_VALUE], atom.shown) for atom, value in why
    )
    return tuple(found)[:MAX_REASONS]
