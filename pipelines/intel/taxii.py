"""Ask a TAXII 2.1 server for what a collection has new: discovery, API root, collection, objects.

Pages by `next`, and from poll to poll by `added_after`, the server's own time of adding. A poll
that ends in between goes on by that time too: what it gives for `next` may be good only once.
Source: TAXII 2.1 (OASIS), sections 3.4, 4 and 5.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode, urljoin

from pipelines.intel import Page, stix
from pipelines.intel.documents import object_of
from pipelines.intel.fetch import Fetcher
from pipelines.intel.reach import onward
from storage.errors import InvalidInput, Unavailable

MEDIA: Final = "application/taxii+json;version=2.1"
PAGE_OBJECTS: Final = 1000
MOST_PAGES: Final = 2000
MOST_ROOTS: Final = 20
MOST_COLLECTIONS: Final = 1000
OVERLAP: Final = timedelta(minutes=1)
"""Asked for again at the next poll: a server may show an object later than it says it added it."""
_LAST: Final = "x-taxii-date-added-last"


def poll(
    fetcher: Fetcher, url: str, collection: str, feed: str, cursor: Mapping[str, Any]
) -> Iterator[Page]:
    """Give what the collection has since the cursor, page by page.

    `collection`: its id, alias or title; '' = the only one that may be read. `cursor`: `objects`
    is where the collection was found, `after` the time up to which everything was kept.
    """
    objects = str(cursor.get("objects") or "") or _found(fetcher, url, collection)
    after = str(cursor.get("after") or "")
    token, seen = "", after
    for number in range(MOST_PAGES):
        asked = {"limit": PAGE_OBJECTS, "match[type]": "indicator", "added_after": after}
        asked |= {"next": token}
        query = urlencode({name: value for name, value in asked.items() if value})
        answer = fetcher.get(f"{objects}?{query}", MEDIA)
        envelope = object_of(answer, "TAXII envelope")
        found = stix.taken({"objects": envelope.get("objects") or []}, feed)
        seen = max(seen, _time(answer.headers.get(_LAST)))
        more, before = envelope.get("more") is True, token
        token = str(envelope.get("next") or "")[:1000] if more else ""
        is_stuck = seen == after if not token else token == before and not found.told
        if more and is_stuck:
            raise InvalidInput("the server has more but says no way to it: ask who runs it")
        yield Page(
            found,
            {"objects": objects, "after": _minus(seen, OVERLAP)},
            has_more=more and number == MOST_PAGES - 1,
        )
        if not more:
            return
        if not token:  # by time alone, as the specification allows
            after = seen


def _found(fetcher: Fetcher, url: str, collection: str) -> str:
    """Give the address of the collection's objects."""
    first = object_of(fetcher.get(url, MEDIA), "TAXII resource")
    roots = [url] if "api_roots" not in first and "versions" in first else _roots(first, url)
    known: list[str] = []
    for root in roots:
        base = root if root.endswith("/") else f"{root}/"
        try:
            told = object_of(fetcher.get(urljoin(base, "collections/"), MEDIA), "TAXII resource")
        except (InvalidInput, Unavailable):
            if len(roots) == 1:
                raise
            continue
        for one in _readable(told):
            names = [str(one.get(name) or "") for name in ("id", "alias", "title")]
            known.append(f"{names[0]} ({names[2]})"[:120])
            if collection and collection in names:
                return urljoin(base, f"collections/{quote(names[0], safe='')}/objects/")
            only = urljoin(base, f"collections/{quote(names[0], safe='')}/objects/")
    if not collection and len(known) == 1:
        return only
    shown = "; ".join(known[:5]) or "none"
    asked = f"no collection {collection[:80]!r} to read there" if collection else "no collection"
    raise InvalidInput(f"{asked}: name one of {shown}")


def _roots(first: Mapping[str, Any], url: str) -> list[str]:
    roots = first.get("api_roots")
    if not isinstance(roots, list) or not roots:
        raise InvalidInput("the server names no API root: give the url of one")
    default = first.get("default")
    told = [one for one in ([default, *roots] if default else roots) if isinstance(one, str)]
    return [onward(url, one) for one in dict.fromkeys(told)][:MOST_ROOTS]


def _readable(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = told.get("collections")
    every = found[:MOST_COLLECTIONS] if isinstance(found, list) else []
    return [one for one in every if isinstance(one, dict) and one.get("can_read") is not False]


def _time(text: str | None) -> str:
    """Give a time of a header in one form, that sorts as text; '' if there is none."""
    if not text:
        return ""
    try:
        when = datetime.fromisoformat(text.strip()[:40])
    except ValueError:
        raise InvalidInput("the server says no time that is one: ask who runs it") from None
    if when.tzinfo is None:
        raise InvalidInput("the server says a time without a zone: ask who runs it")
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def _minus(text: str, span: timedelta) -> str:
    return _time(str(datetime.fromisoformat(text) - span)) if text else ""
