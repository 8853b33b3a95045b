"""Serve Dash from the house's application: its callbacks and files, nothing else it can do."""

import gzip
import hashlib
import mimetypes
import pkgutil
from functools import cache
from typing import Any, Final

from dash.backends._fastapi import (
    FastAPIDashServer,
    FastAPIRequestAdapter,
    get_current_request,
)
from dash.fingerprint import check_fingerprint
from fastapi import Request
from fastapi.responses import Response

_KEEP: Final = "public, max-age=31536000, immutable"
_NEEDLESS: Final = frozenset({"/_reload-hash", "/_dash-ws-callback"})


class _Adapter(FastAPIRequestAdapter):  # type: ignore[misc]  # Dash carries no types
    def __init__(self) -> None:
        """Do without a request while the house starts: the page is made once, for everybody."""
        try:
            super().__init__()
        except RuntimeError:
            self._request = None


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
