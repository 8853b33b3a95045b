"""Make the letters of what a flow refuses; `pipelines.letters` lists them and puts them back."""

import hashlib
from typing import Final

from storage.log import Message
from storage.outcome import DeadLetter
from storage.wire import HEADER

TOPIC: Final = "dead-letter"
RAW_TOPIC: Final = "raw.events"
MAX_RAW: Final = 64 << 10
RETRY_SOURCE: Final = "retry:"
"""Prefix of the source id of a letter driven again: a source of its own, read once."""
KEPT: Final = "event is kept; detector '"
"""Beginning of the reason of a letter that only tells: its record is stored, not driven again."""

_REASON: Final = 500


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
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        trace_id=headers.get("trace_id", ""),
        is_cut=bool(cut),
        schema=headers.get(HEADER, ""),
    )
