"""Read the JSON that servers of feeds send, and feeds that are one document."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pipelines.intel import Page, csv_list, stix
from pipelines.intel.fetch import Answer, Fetcher
from storage.errors import InvalidInput

_ACCEPT: Final = {
    "stix": "application/stix+json;version=2.1, application/json;q=0.9",
    "csv": "text/csv, text/plain;q=0.9",
}
_SAME: Final = 304


def object_of(answer: Answer, what: str) -> dict[str, Any]:
    """Give the JSON object that an answer is; InvalidInput if it is none, or too deep."""
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidInput(f"the server sends no {what}: correct the url or the kind of the feed")
    return document


def poll(
    fetcher: Fetcher, kind: str, url: str, feed: str, cursor: Mapping[str, Any]
) -> Iterator[Page]:
    """Give a bundle or a CSV whole, if it changed since the cursor.

    InvalidInput if there is no indicator in it, but was before: a broken list must not end all.
    """
    asked = {"etag": "If-None-Match", "modified": "If-Modified-Since"}
    since = {head: str(cursor[name]) for name, head in asked.items() if cursor.get(name)}
    answer = fetcher.get(url, _ACCEPT[kind], since)
    if answer.status == _SAME:
        return
    found = (stix if kind == "stix" else csv_list).read(answer.body, feed)
    if not found.indicators and cursor.get("indicators"):
        raise InvalidInput(
            f"no indicator is left of {cursor['indicators']}, {len(found.refused)} were refused:"
            " nothing was changed; look at the feed"
        )
    heads = {"etag": "etag", "modified": "last-modified"}
    # On one line: it is sent back in a header.
    kept = {n: " ".join(answer.headers.get(head, "").split())[:200] for n, head in heads.items()}
    yield Page(found, {**kept, "indicators": len(found.indicators)}, is_whole=True)
