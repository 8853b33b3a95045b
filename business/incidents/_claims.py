"""Read what a machine claims, and enter it: by which entities it can be joined, what it ties."""

import ipaddress
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, get_args

import msgspec

from business._event import Event, Transaction
from storage.database.queries import select
from storage.errors import InvalidInput
from storage.schema.entity import canonical, is_joining
from storage.schema.finding import Level

LEVELS: Final[tuple[str, ...]] = get_args(Level)
"""From harmless to gravest."""
_GRAVE: Final = frozenset({"high", "critical"})
_MOST_LINKS: Final = 64
_MOST_PARTS: Final = 1000
_LONGEST: Final = 512
LONGEST_TITLE: Final = 300


class _Finding(msgspec.Struct):
    tenant_id: str
    finding_id: str
    title: str
    level: str
    time_us: int
    entity_type: str
    entity: str
    rule_id: str
    kind: str = "finding"
    links: tuple[tuple[str, str], ...] = ()
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """A finding or signal as incidents see it. `entities`: canonical, joining, its own first."""

    finding_id: str
    time: datetime
    level: str
    is_signal: bool
    entities: tuple[tuple[str, str], ...]
    is_own_joining: bool
    parts: tuple[str, ...]

    @property
    def is_grave(self) -> bool:
        """Answer whether it opens an incident."""
        return self.level in _GRAVE and not self.is_signal


def claim_of(event: Event, tenant_id: str) -> Claim:
    """Read the claim of a message; InvalidInput if it is none or of another tenant."""
    try:
        return _claim(msgspec.convert(dict(event.data), _Finding), tenant_id)
    except (msgspec.ValidationError, ValueError, OverflowError, OSError) as error:
        raise InvalidInput(f"event {event.event_id} holds no finding: {error}") from error


def _claim(finding: _Finding, tenant_id: str) -> Claim:
    if finding.tenant_id != tenant_id:
        raise InvalidInput(f"finding {finding.finding_id} is of another tenant than its message")
    if finding.level not in LEVELS:
        raise InvalidInput(f"finding {finding.finding_id}: level {finding.level[:40]!r} is unknown")
    if "\x00" in finding.entity or any("\x00" in text for link in finding.links for text in link):
        raise InvalidInput(f"finding {finding.finding_id}: an entity's name holds NUL")
    is_signal = finding.kind == "signal"
    own, *others = _entities(finding)
    entities = tuple(dict.fromkeys(e for e in (own, *others) if is_joining(*e)))
    return Claim(
        str(uuid.UUID(finding.finding_id)),
        datetime.fromtimestamp(finding.time_us / 1_000_000, UTC),
        finding.level,
        is_signal,
        entities,
        bool(entities) and entities[0] == own,
        () if is_signal else tuple(str(uuid.UUID(p)) for p in finding.parts[:_MOST_PARTS]),
    )


def _entities(finding: _Finding) -> list[tuple[str, str]]:
    named = ((finding.entity_type, finding.entity), *finding.links[:_MOST_LINKS])
    return [(k[:_LONGEST], n[:_LONGEST]) for k, n in (canonical(*e) for e in named)]


def enter(tx: Transaction, claim: Claim) -> bool | None:
    """Enter the claim; True if it spreads, False if it only joins, None if it is known.

    One that stands in an incident since before claims were entered is known too.
    """
    rows = select(
        tx,
        "incident_claim_add",
        finding_id=claim.finding_id,
        time=claim.time,
        is_grave=claim.is_grave,
        is_core=claim.is_grave or bool(claim.parts),
        is_own_joining=claim.is_own_joining,
        types=[kind for kind, _ in claim.entities],
        names=[name for _, name in claim.entities],
        parts=list(claim.parts),
    )
    return bool(rows[0]["is_core"]) if rows and not rows[0]["is_placed"] else None


def enter_stored(tx: Transaction, tenant_id: str, ids: Sequence[str]) -> list[str]:
    """Enter those of these that the ledger has and the incidents have not heard of, parts too.

    Gives the ids entered. A correlation may come before the signals it rests on.
    """
    entered: list[str] = []
    wanted = list(ids)
    while wanted and len(entered) < _MOST_PARTS:
        rows = select(tx, "incident_claims_unknown", ids=wanted)
        claims = [_claim(_stored(row), tenant_id) for row in rows]
        entered += [c.finding_id for c in claims if enter(tx, c) is not None]
        wanted = [part for c in claims for part in c.parts]
    return entered


def _stored(row: Mapping[str, Any]) -> _Finding:
    return msgspec.convert(dict(row), _Finding)


def title_of(title: str, kind: str, name: str) -> str:
    r"""Name an incident by a claim; its entity is added unless the title tells it already.

    >>> title_of("Backups deleted", "host", "WS-7")
    'Backups deleted on WS-7'
    >>> title_of("ws-7.corp.example calls 198.51.100.9", "host", "WS-7")
    'ws-7.corp.example calls 198.51.100.9'
    """
    names = {name.strip(), canonical(kind, name)[1]} - {""}
    words = "|".join(re.escape(n) for n in sorted(names))
    is_told = not names or re.search(rf"(?<![\w-])(?:{words})(?![\w-])", title, re.IGNORECASE)
    said = title if is_told else f"{title} on {name}"
    return said.replace("\x00", "").strip()[:LONGEST_TITLE]


def is_outside(name: str) -> bool:
    """Answer whether a name is an address that is not the company's own, or no address at all.

    >>> is_outside("10.20.0.7"), is_outside("198.51.100.9"), is_outside("cdn.example")
    (False, True, True)
    """
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return True
    return not any(address.version == n.version and address in n for n in _INSIDE)


_INSIDE: Final = tuple(
    ipaddress.ip_network(n)
    for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10")
)
