"""Keep what was refused, show it, and drive it again once its cause is mended."""

import hashlib
from collections.abc import Iterator
from typing import Final

from storage.errors import InvalidInput
from storage.log import EventLog, Message, Record
from storage.outcome import DeadLetter, dead_letter_of

TOPIC: Final = "dead-letter"
RAW_TOPIC: Final = "raw.events"
MAX_RAW: Final = 64 << 10
RETRY_SOURCE: Final = "retry:"
"""Prefix of the source id of a letter driven again: a source of its own, read once."""
KEPT: Final = "event is kept; detector '"
"""Beginning of the reason of a letter that only tells: its record is stored, not driven again."""

_REASON: Final = 500
_SHOWN: Final = 4096
Row = dict[str, object]


def letter_id(tenant_id: str, source: str, position: int) -> str:
    """Derive a letter's id from its place, so that a repeat is recognised.

    >>> letter_id("acme", "f1", 7) == letter_id("acme", "f1", 7)
    True
    """
    text = f"{tenant_id}\x1f{source}\x1f{position}\x1fdead-letter".encode()
    h = hashlib.blake2b(text, digest_size=16).hexdigest()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def letter_of(
    message: Message, position: int, reason: str, raw: bytes, size: int | None = None
) -> DeadLetter:
    """Make the letter for one refused record of a message; its reason says if bytes were cut.

    `size`: bytes there were, if `raw` does not hold them all.
    """
    headers = message.headers
    size = len(raw) if size is None else size
    cut = f" (bytes cut at {MAX_RAW >> 10} KiB of {size})" if size > MAX_RAW else ""
    tenant_id, source = headers.get("tenant", ""), headers.get("source", "")
    return DeadLetter(
        letter_id=letter_id(tenant_id, source or f"{message.topic}/{message.partition}", position),
        tenant_id=tenant_id,
        source=source,
        name=headers.get("name", ""),
        log_format=headers.get("format", ""),
        position=position,
        reason=reason[: _REASON - len(cut)] + cut,
        raw=raw[:MAX_RAW],
    )


def dead_letters(log: EventLog, tenant: str | None = None, limit: int = 50) -> list[Row]:
    """List the newest refused records, oldest of them first, of one tenant or of all.

    Each: tenant, source, name, format, position, reason, letter_id, at_us, is_driven (whether
    `retry` put it on the log again) and `raw`, its first 4 KiB as text.
    """
    found: list[tuple[Message, DeadLetter]] = []
    for partition in range(log.partitions(TOPIC)):
        found.extend(_newest(log, partition, tenant, limit))
    found.sort(key=lambda pair: (pair[0].appended_at_us, pair[0].partition, pair[0].offset))
    once = {letter.letter_id: (message, letter) for message, letter in found}
    return [_row(log, message, letter) for message, letter in list(once.values())[-limit:]]


def retry(log: EventLog, tenant: str | None = None) -> int:
    """Put refused records that were not driven again yet back on the raw topic; give how many.

    Each becomes a source of its own, so that a second drive is recognised as a repeat; if it is
    refused again it makes a new letter, which can be driven again in its turn. What has no readable
    record (a consumer's letter, one without tenant) stays where it is, and so does a letter whose
    event was kept.
    """
    driven = 0
    for partition in range(log.partitions(TOPIC)):
        for message, letter in _letters(log, partition, 0, tenant):
            if message.offset < _driven_to(log, letter.tenant_id, partition):
                continue
            is_kept = letter.reason.startswith(KEPT)
            if letter.tenant_id and letter.log_format and letter.raw and not is_kept:
                log.append(RAW_TOPIC, [_again(letter)])
                driven += 1
            log.commit(_group(letter.tenant_id), TOPIC, partition, message.offset + 1)
    return driven


def _again(letter: DeadLetter) -> Record:
    source = f"{RETRY_SOURCE}{letter.letter_id}"
    headers = {
        "tenant": letter.tenant_id,
        "source": source,
        "position": "0",
        "format": letter.log_format,
        "name": letter.name,
    }
    return Record(f"{letter.tenant_id}\x1f{source}".encode(), letter.raw, headers)


def _letters(
    log: EventLog, partition: int, first: int, tenant: str | None
) -> Iterator[tuple[Message, DeadLetter]]:
    """Read a partition of the topic from an offset to its present end; each letter once."""
    seen: set[str] = set()
    end = log.end(TOPIC, partition)
    while first < end:
        messages = log.read(TOPIC, partition, first)
        for message in messages:
            try:
                letter = dead_letter_of(message.value)
            except InvalidInput:
                continue  # a letter of another consumer: it tells of itself in its headers
            if letter.letter_id not in seen and tenant in (None, letter.tenant_id):
                seen.add(letter.letter_id)
                yield message, letter
        first = messages[-1].offset + 1 if messages else end


def _newest(
    log: EventLog, partition: int, tenant: str | None, limit: int
) -> list[tuple[Message, DeadLetter]]:
    first = end = log.end(TOPIC, partition)
    found: list[tuple[Message, DeadLetter]] = []
    span = limit
    while first > 0 and len(found) < limit:
        span *= 4
        first = max(0, end - span)
        found = list(_letters(log, partition, first, tenant))
    return found[-limit:]


def _group(tenant_id: str) -> str:
    return f"retry/{tenant_id}"


def _driven_to(log: EventLog, tenant_id: str, partition: int) -> int:
    return log.committed(_group(tenant_id), TOPIC, partition)


def _row(log: EventLog, message: Message, letter: DeadLetter) -> Row:
    return {
        "tenant": letter.tenant_id,
        "source": letter.source,
        "name": letter.name,
        "format": letter.log_format,
        "position": letter.position,
        "reason": letter.reason,
        "letter_id": letter.letter_id,
        "at_us": message.appended_at_us,
        "is_driven": message.offset < _driven_to(log, letter.tenant_id, message.partition),
        "raw": letter.raw[:_SHOWN].decode("utf-8", "backslashreplace"),
    }
