"""Read the indicators of a STIX 2.1 bundle, or of a TAXII 2.1 envelope.

Patterns that reduce to indicators: `=` comparisons joined by OR, and hashes of one file joined by
AND. AND of different things is refused: either half alone says more than its author did.
Source: STIX 2.1 (OASIS), sections 4.7, 8 and 9.
"""

import json
import re
from typing import Any, Final

from pipelines.intel import Feed, Refusal
from pipelines.intel.times import micros
from storage.errors import InvalidBatch, InvalidInput
from storage.schema.indicator import Indicator, IndicatorType, normal

FORMAT: Final = "stix"
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_OBJECTS: Final = 100_000
MAX_PATTERN: Final = 16_384
MAX_COMPARISONS: Final = 200
MAX_DEPTH: Final = 20
"""Brackets within brackets, about."""
MAX_LABELS: Final = 20

_KINDS: Final = {
    "ipv4-addr:value": "ipv4",
    "ipv6-addr:value": "ipv6",
    "domain-name:value": "domain",
    "url:value": "url",
    "email-addr:value": "email",
    "file:hashes.md5": "md5",
    "file:hashes.sha-1": "sha1",
    "file:hashes.sha1": "sha1",
    "file:hashes.sha-256": "sha256",
    "file:hashes.sha256": "sha256",
}
_HASHES: Final = frozenset({"md5", "sha1", "sha256"})
_TERM: Final = re.compile(
    r"\s*(?:(?P<mark>[\[\]()])|(?P<word>AND|OR)\b"
    r"|(?P<path>[a-z0-9-]+:[\w.'-]+)\s*=\s*'(?P<value>(?:[^'\\]|\\.)*)')",
    re.ASCII | re.DOTALL,
)
_TLP: Final = {
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": "white",
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": "green",
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": "amber",
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": "red",
}


def read(data: bytes, feed: str) -> Feed:
    """Give every indicator of the document and every one refused, in its order.

    Raises InvalidBatch where the document as a whole is not STIX or is over the bounds.
    """
    if len(data) > MAX_BYTES:
        raise InvalidBatch(f"a bundle over {MAX_BYTES} bytes: split it", format=FORMAT)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise InvalidBatch("no JSON or too deep: send a STIX 2.1 bundle", format=FORMAT) from None
    return taken(document, feed)


def taken(document: object, feed: str) -> Feed:
    """Give the same of a document that is read already."""
    objects = document.get("objects") if isinstance(document, dict) else None
    if not isinstance(objects, list) or len(objects) > MAX_OBJECTS:
        raise InvalidBatch(
            f"no list `objects` of at most {MAX_OBJECTS}: send a STIX 2.1 bundle", format=FORMAT
        )
    good: list[Indicator] = []
    bad: list[Refusal] = []
    told: list[str] = []
    newest = _newest(objects)
    for number, one in enumerate(objects):
        if not isinstance(one, dict):
            bad.append(Refusal(str(number), "no object"))
        elif one.get("type") == "indicator" and _modified(one) < newest[str(one.get("id"))]:
            bad.append(Refusal(str(one.get("id"))[:100], "a newer version of it is here too"))
        elif one.get("type") == "indicator":
            told.append(str(one.get("id", ""))[:100])
            try:
                good += _indicators(one, feed)
            except InvalidInput as why:
                bad.append(Refusal(str(one.get("id") or number)[:100], str(why)))
    return Feed(tuple(good), tuple(bad), tuple(filter(None, told)))


def _newest(objects: list[Any]) -> dict[str, str]:
    """Give when the newest version of each id was written."""
    found: dict[str, str] = {}
    for one in objects:
        if isinstance(one, dict):
            name = str(one.get("id"))
            found[name] = max(found.get(name, ""), _modified(one))
    return found


def _modified(one: dict[str, Any]) -> str:
    return str(one.get("modified") or "")


def _indicators(one: dict[str, Any], feed: str) -> list[Indicator]:
    if one.get("pattern_type", "stix") != "stix":
        raise InvalidInput("pattern_type is not stix: this pattern cannot be read as indicators")
    if one.get("revoked") is True:
        raise InvalidInput("revoked by its author: it must not match")
    begin, end = micros(one.get("valid_from")), micros(one.get("valid_until"))
    if begin is None:
        raise InvalidInput("valid_from is missing: say from when the indicator holds")
    sure = one.get("confidence", 50)
    if not isinstance(sure, int) or isinstance(sure, bool):
        raise InvalidInput("confidence is no whole number: write 0..100")
    labels = [one.get("labels"), one.get("indicator_types")]
    words = [str(w)[:100] for some in labels if isinstance(some, list) for w in some]
    marks = one.get("object_marking_refs")
    tlp = [_TLP[m] for m in marks if str(m) in _TLP] if isinstance(marks, list) else []
    return [
        Indicator(
            *(kind, value, begin, end, sure, feed),
            labels=tuple(dict.fromkeys(words[:MAX_LABELS])),
            tlp=tlp[0] if tlp else "",
            pattern_id=str(one.get("id", ""))[:100],
        )
        for kind, value in reduced(one.get("pattern"))
    ]


def reduced(pattern: object) -> list[tuple[IndicatorType, str]]:
    """Give types and normal values of which any one fulfils the pattern.

    Raises InvalidInput where the pattern says more than that.
    """
    if not isinstance(pattern, str) or len(pattern) > MAX_PATTERN:
        raise InvalidInput(f"no pattern of at most {MAX_PATTERN} characters: shorten it")
    found: list[tuple[IndicatorType, str]] = []
    shape, joined, at = "", False, 0
    text = pattern.rstrip()
    while at < len(text):
        term = _TERM.match(text, at)
        if term is None:
            raise InvalidInput(f"{text[at : at + 60]!r} is more than = with AND or OR: split it")
        at = term.end()
        joined |= term["word"] == "AND"
        shape += term["mark"] or {"AND": "o", "OR": "o"}.get(term["word"] or "", "c")
        if term["path"]:
            found.append(_comparison(term["path"], term["value"]))
    if len(found) > MAX_COMPARISONS or not _whole(shape):
        raise InvalidInput(f"not 1..{MAX_COMPARISONS} comparisons in brackets: correct the pattern")
    if joined and ({kind for kind, _ in found} - _HASHES or shape.count("[") > 1):
        raise InvalidInput("AND of different things is no single indicator: split the pattern")
    return list(dict.fromkeys(found))


def _comparison(path: str, raw: str) -> tuple[IndicatorType, str]:
    kind = _KINDS.get(path.replace("'", "").lower())
    if kind is None:
        raise InvalidInput(f"{path[:60]!r} is no address, domain, url, mail or hash: not matched")
    value = re.sub(r"\\(.)", r"\1", raw, flags=re.DOTALL)
    return normal("cidr" if "/" in value and kind.startswith("ip") else kind, value)


def _whole(shape: str) -> bool:
    """Fold comparisons from the inside out until one observation is left, or it is too deep."""
    for _ in range(MAX_DEPTH):
        before = shape
        shape = re.sub(r"c(?:oc)+", "c", shape).replace("(c)", "c")
        shape = re.sub(r"e(?:oe)+", "e", shape.replace("[c]", "e")).replace("(e)", "e")
        if shape == before:
            break
    return shape == "e"
