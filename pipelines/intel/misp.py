"""Read a MISP feed: `manifest.json` names the events, `<uuid>.json` is one.

Attributes that are marked for detection (`to_ids`) become indicators. An event that changed is read
again, whole. Source: MISP core format (draft-dulaunoy-misp-core-format), MISP feeds.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urljoin

from pipelines.intel import Feed, Page, Refusal
from pipelines.intel.documents import object_of
from pipelines.intel.fetch import Fetcher
from pipelines.intel.times import micros
from storage.errors import InvalidInput
from storage.schema.indicator import Indicator, normal

MOST_EVENTS: Final = 20_000
"""Of one manifest."""
MOST_AT_ONCE: Final = 1_000
"""Events of one poll."""
PAGE_EVENTS: Final = 50
PAGE_INDICATORS: Final = 20_000
MOST_LABELS: Final = 20
_JSON: Final = "application/json"
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_KINDS: Final = {
    "ip-src": "ip",
    "ip-dst": "ip",
    "ip-src|port": "ip",
    "ip-dst|port": "ip",
    "domain": "domain",
    "hostname": "domain",
    "hostname|port": "domain",
    "url": "url",
    "email": "email",
    "email-src": "email",
    "email-dst": "email",
    "md5": "md5",
    "sha1": "sha1",
    "sha256": "sha256",
}
_SECOND: Final = {"filename|md5": "md5", "filename|sha1": "sha1", "filename|sha256": "sha256"}
_SURE: Final = {"1": 80, "2": 65, "3": 50, "4": 50}
"""Threat level of the event -> confidence."""


def poll(fetcher: Fetcher, url: str, feed: str, cursor: Mapping[str, Any]) -> Iterator[Page]:
    """Give the events that are new or changed, some at once; the cursor says which are known."""
    base = re.sub(r"manifest\.json$", "", url)
    base = base if base.endswith("/") else f"{base}/"
    told = object_of(fetcher.get(urljoin(base, "manifest.json"), _JSON), "MISP manifest")
    if len(told) > MOST_EVENTS:
        raise InvalidInput(f"a manifest of over {MOST_EVENTS:,} events: take a smaller feed")
    events = {name: _stamp(row) for name, row in told.items() if _UUID.fullmatch(name)}
    if told and not events:
        raise InvalidInput("the manifest names no event: correct the url or the kind of the feed")
    known = cursor.get("events")
    known = known if isinstance(known, dict) else {}
    if known and not events:
        raise InvalidInput("the manifest names no event any more: nothing was changed; look at it")
    seen = {name: stamp for name, stamp in known.items() if name in events}
    fresh = [name for name, stamp in events.items() if seen.get(name) != stamp]
    fresh.sort(key=lambda name: (events[name], name))
    chosen, parts = fresh[:MOST_AT_ONCE], _Parts(sorted(known.keys() - events.keys()))
    for place, name in enumerate(chosen, 1):
        answer = fetcher.get(urljoin(base, f"{name}.json"), _JSON)
        parts.add(name, event_of(object_of(answer, "MISP event"), name, feed))
        seen[name] = events[name]
        if parts.is_full and place < len(chosen):
            yield Page(parts.feed(), {"events": dict(seen)})
            parts = _Parts()
    if not parts.is_empty:
        yield Page(parts.feed(), {"events": dict(seen)}, has_more=len(chosen) < len(fresh))


class _Parts:
    """Gather events until they are worth keeping at once; `gone`: of which nothing is left."""

    def __init__(self, gone: Sequence[str] = ()) -> None:
        self._indicators: list[Indicator] = []
        self._refused: list[Refusal] = []
        self._told: list[str] = [*gone]

    def add(self, name: str, found: Feed) -> None:
        """Take what one event says."""
        self._told.append(name)
        self._indicators += found.indicators
        self._refused += found.refused

    @property
    def is_full(self) -> bool:
        """Answer whether it is enough for a page."""
        return len(self._told) >= PAGE_EVENTS or len(self._indicators) >= PAGE_INDICATORS

    @property
    def is_empty(self) -> bool:
        """Answer whether there is nothing to keep."""
        return not self._told

    def feed(self) -> Feed:
        """Give all of it."""
        return Feed(tuple(self._indicators), tuple(self._refused), tuple(self._told))


def event_of(document: Mapping[str, Any], name: str, feed: str) -> Feed:
    """Give the indicators of one event and the attributes that are for detection but are none."""
    event = document.get("Event")
    if not isinstance(event, dict):
        raise InvalidInput(f"{name}.json holds no event: ask who runs the feed")
    good: list[Indicator] = []
    bad: list[Refusal] = []
    labels, tlp = _tags(event)
    for one in _attributes(event):
        if not _is_set(one.get("to_ids")) or _is_set(one.get("deleted")):
            continue
        try:
            since = _since(one, event)
            sure = _SURE.get(str(event.get("threat_level_id")), 50)
            found = [normal(kind, value) for kind, value in _values(one)]
            good += [Indicator(*pair, since, None, sure, feed, labels, tlp, name) for pair in found]
        except InvalidInput as why:
            bad.append(Refusal(str(one.get("uuid") or name)[:100], str(why)))
    return Feed(tuple(good), tuple(bad), (name,))


def _is_set(said: object) -> bool:
    return str(said).lower() in {"true", "1"}


def _attributes(event: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for holder in (event, *_list(event.get("Object"))):
        found = holder.get("Attribute") if isinstance(holder, dict) else None
        yield from (one for one in _list(found) if isinstance(one, dict))


def _values(one: Mapping[str, Any]) -> list[tuple[str, str]]:
    kind, value = str(one.get("type") or ""), str(one.get("value") or "")
    if kind == "domain|ip":
        name, _, address = value.partition("|")
        return [("domain", name), _address(address)]
    if kind in _SECOND:
        return [(_SECOND[kind], value.rpartition("|")[2])]
    known = _KINDS.get(kind)
    if known is None:
        raise InvalidInput(f"{kind[:60]!r} is no address, domain, url, mail or hash: not matched")
    first = value.partition("|")[0] if kind.endswith("|port") else value
    return [_address(first) if known == "ip" else (known, first)]


def _address(text: str) -> tuple[str, str]:
    if "/" in text:
        return "cidr", text
    return ("ipv6" if ":" in text else "ipv4"), text


def _since(one: Mapping[str, Any], event: Mapping[str, Any]) -> int:
    """Give from when it holds: first seen, else the event's day, else when it was written."""
    if one.get("first_seen"):
        return micros(one["first_seen"]) or 0
    day = str(event.get("date") or "")
    if re.fullmatch(r"\d{4}-\d\d-\d\d", day, re.ASCII):
        return micros(f"{day}T00:00:00Z") or 0
    return _stamp(one) * 1_000_000


def _list(said: object) -> list[Any]:
    return said if isinstance(said, list) else []


def _stamp(row: object) -> int:
    told = str(row.get("timestamp") or "") if isinstance(row, dict) else ""
    return int(told) if told.isascii() and told.isdigit() and len(told) <= 11 else 0


def _tags(event: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    tags = _list(event.get("Tag"))
    names = [str(t.get("name") or "")[:100] for t in tags if isinstance(t, dict)]
    tlp = next((n.lower()[4:24] for n in names if n.lower().startswith("tlp:")), "")
    return tuple(dict.fromkeys(n for n in names if n))[:MOST_LABELS], tlp
