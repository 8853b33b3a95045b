"""Serve Dash from the house's application: its callbacks and files, nothing else it can do."""

import gzip
import hashlib
import json
import mimetypes
import pkgutil
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any, Final

import msgspec
from dash.backends._fastapi import (
    FastAPIDashServer,
    FastAPIRequestAdapter,
    get_current_request,
)
from dash.fingerprint import check_fingerprint
from fastapi import Request
from fastapi.responses import Response

from api.problems import problem

_KEEP: Final = "public, max-age=31536000, immutable"
_NEEDLESS: Final = frozenset({"/_reload-hash", "/_dash-ws-callback"})


class _Adapter(FastAPIRequestAdapter):  # type: ignore[misc]  # Dash carries no types
    def __init__(self) -> None:
        """Do without a request while the house starts: the page is made once, for everybody."""
        try:
            super().__init__()
        except RuntimeError:
            self._request = None


class _Place(msgspec.Struct):
    id: str
    property: str


class _Several(msgspec.Struct):
    """One of the components that a pattern stands for: its id has a value for each name."""

    id: dict[str, str | int]
    property: str


class _Asked(msgspec.Struct, rename={"changed": "changedPropIds"}):
    output: str
    inputs: list[_Place | list[_Several]]
    outputs: _Place | list[_Place]
    state: list[_Place | list[_Several]] = []
    changed: list[str] = []


def is_asked(body: object, known: Mapping[str, Mapping[str, Any]]) -> bool:
    """Answer whether a body asks for one of the callbacks, with all that this one is given.

    `known`: output -> callback, as Dash keeps them. Dash itself trusts what it is sent.
    """
    try:
        asked = msgspec.convert(body, _Asked)
    except msgspec.ValidationError:
        return False
    found = known.get(asked.output)
    if found is None or "callback" not in found:
        return False
    outputs = found["output"]
    count = len(outputs) if isinstance(outputs, list | tuple) else None
    told = len(asked.outputs) if isinstance(asked.outputs, list) else None
    return count == told and all(
        len(places) == len(found[name]) and all(map(_is_of, places, found[name]))
        for name, places in (("inputs", asked.inputs), ("state", asked.state))
    )


def _is_of(given: _Place | list[_Several], wanted: Mapping[str, str]) -> bool:
    """Answer whether what is given stands where it is wanted: by its id, or each by its pattern."""
    if isinstance(given, _Place):
        return (given.id, given.property) == (wanted["id"], wanted["property"])
    if not wanted["id"].startswith("{"):
        return False
    pattern = json.loads(wanted["id"])
    return all(
        one.property == wanted["property"]
        and one.id.keys() == pattern.keys()
        and all(part == ["ALL"] or part == one.id[name] for name, part in pattern.items())
        for one in given
    )


class Backend(FastAPIDashServer):  # type: ignore[misc]  # Dash carries no types
    """Dash's FastAPI server without websocket, without its own pages, with packed scripts."""

    websocket_capability = False

    def __init__(self, server: Any) -> None:  # noqa: ANN401  Dash's own values
        """Keep the server."""
        super().__init__(server)
        self.request_adapter = _Adapter

    def setup_index(self, dash_app: Any) -> None:  # noqa: ANN401  Dash carries no types
        """Add no page: the shell adds each page at its own path."""

    def _setup_catchall(self) -> None:
        """Add no catch-all either: what is not a page is not found."""

    def add_url_rule(self, rule: str, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  Dash's own values
        """Add a route of Dash's, unless the console has no use for it."""
        if rule not in _NEEDLESS:
            super().add_url_rule(rule, *args, **kwargs)

    def serve_callback(self, dash_app: Any) -> Callable[[Request], Awaitable[Any]]:  # noqa: ANN401  Dash's own values
        """Give what answers callbacks: 400 for what asks for none as the pages ask."""
        answer = super().serve_callback(dash_app)

        async def checked(request: Request) -> Any:  # noqa: ANN401  Dash's own values
            if not is_asked(self.request_adapter().get_json(), dash_app.callback_map):
                trace_id = str(getattr(request.state, "trace_id", ""))
                return problem(400, "this is no callback of these pages", trace_id)
            return await answer(request)

        return checked

    def serve_component_suites(
        self,
        dash_app: Any,  # noqa: ANN401  Dash's own values
        package_name: str,
        fingerprinted_path: str,
        request: Request,
    ) -> Response:
        """Give a library's file, packed once and kept by browsers for good if its name says so."""
        path, has_fingerprint = check_fingerprint(fingerprinted_path)
        if path not in dash_app.registered_paths.get(package_name, ()):
            return Response(status_code=404)
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        packed, etag = _packed(package_name, path)
        headers = {
            "cache-control": _KEEP if has_fingerprint else "no-cache",
            "vary": "accept-encoding",
            "etag": etag,
        }
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
            return Response(packed, media_type=kind, headers=headers)
        return Response(gzip.decompress(packed), media_type=kind, headers=headers)


@cache
def _packed(package: str, path: str) -> tuple[bytes, str]:
    """Pack one of the libraries' files: a fixed, short list, so the cache is bounded."""
    plain = pkgutil.get_data(package, path) or b""
    return gzip.compress(plain, 6, mtime=0), f'"{hashlib.sha256(plain).hexdigest()[:32]}"'


def this_request() -> Request:
    """Give the request whose callback runs."""
    request = get_current_request()
    assert isinstance(request, Request)  # noqa: S101  Dash carries no types
    return request
