"""Find out by content which parser a stream is for."""

from typing import Final

from pipelines.parsers._lines import utf8
from pipelines.parsing import parsers
from storage.errors import InvalidBatch

HEAD_BYTES: Final = 64 << 10
_SURE_ENOUGH: Final = 0.3


def detect_format(head: bytes, name: str = "") -> str:
    """Give the FORMAT of the parser that is surest about a stream beginning so.

    `head`: the first 64 KiB, or all of a shorter stream; `name`: for the message only. InvalidBatch
    where no parser is at least 0.3 sure; it lists the known formats. Equal claims: first by name.
    UTF-16, as Windows tools export it, is told by its mark or its zero bytes and read as text.
    """
    label = name or "input"
    head = b"".join(utf8([head[:HEAD_BYTES]]))
    if not head.strip():
        raise InvalidBatch(f"{label}: empty, nothing to read")
    claims = ((_claim(known, head), known) for known in sorted(parsers()))
    best, found = max(claims, key=lambda claim: claim[0], default=(0.0, ""))
    if best < _SURE_ENOUGH:
        known = ", ".join(sorted(parsers()))
        raise InvalidBatch(
            f"{label}: format not recognised; name it with --format, one of: {known}"
        )
    return found


def _claim(format: str, head: bytes) -> float:
    return float(parsers()[format].matches(head[:HEAD_BYTES]))
