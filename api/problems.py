"""Answer every error as problem+json (RFC 9457): which branch, which status, no inner detail."""

from collections.abc import Callable, Mapping
from typing import Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from business._conflict import Conflict, OldVersion
from business.incidents import VersionConflict
from storage.errors import (
    InopsioError,
    InvalidInput,
    NotAllowed,
    NotFound,
    NotSignedIn,
    Overloaded,
    Refused,
    Unavailable,
)

PROBLEM_JSON: Final = "application/problem+json"
_LOG = structlog.get_logger("api")


class TooLarge(InvalidInput):
    """A body over the limit of size or of decompression ratio: HTTP 413."""


class UnknownEncoding(InvalidInput):
    """A Content-Encoding or Content-Type this door does not read: HTTP 415."""


class VersionMissing(InvalidInput):
    """A change without If-Match: HTTP 428."""


STATUS: Final[Mapping[type[InopsioError], int]] = {
    TooLarge: 413,
    UnknownEncoding: 415,
    VersionMissing: 428,
    VersionConflict: 412,
    OldVersion: 412,
    Conflict: 409,
    InvalidInput: 422,
    NotSignedIn: 401,
    NotAllowed: 403,
    NotFound: 404,
    Refused: 403,
    Overloaded: 429,
    Unavailable: 503,
}
"""Error class -> HTTP status; the most specific class of an error's ancestry counts."""

TITLES: Final[Mapping[int, str]] = {
    400: "Malformed request",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Stands against what is there",
    412: "Changed by somebody else",
    413: "Too large",
    415: "Encoding not supported",
    422: "Invalid input",
    428: "Version missing",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
}


class FieldProblem(BaseModel):
    """Say which field of the request is wrong and why; never echoes the value."""

    model_config = ConfigDict(extra="forbid")
    place: str = Field(description="where in the request, dotted")
    reason: str


class Problem(BaseModel):
    """Describe an error in RFC 9457 terms; `trace_id` finds it in the log."""

    model_config = ConfigDict(extra="forbid")
    type: str = Field(examples=["urn:inopsio:problem:404"])
    title: str
    status: int
    detail: str = ""
    trace_id: str = ""
    errors: list[FieldProblem] = []


def problem(
    status: int,
    detail: str = "",
    trace_id: str = "",
    errors: list[FieldProblem] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Build the answer; 5xx never carry more detail than the caller gives here."""
    body = Problem(
        type=f"urn:inopsio:problem:{status}",
        title=TITLES.get(status, "Error"),
        status=status,
        detail=detail,
        trace_id=trace_id,
        errors=errors or [],
    )
    return JSONResponse(
        body.model_dump(), status, headers=dict(headers or {}), media_type=PROBLEM_JSON
    )


def status_of(error: InopsioError) -> int:
    """Give the HTTP status of an error by its branch; what is not foreseen is 500."""
    return next((STATUS[c] for c in type(error).__mro__ if c in STATUS), 500)


def trace_of(request: Request) -> str:
    """Give the request's trace id, which the door set."""
    return str(request.scope.get("state", {}).get("trace_id", ""))


def _known(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InopsioError)  # noqa: S101  narrowed by the registration below
    status = status_of(error)
    headers: dict[str, str] = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="inopsio"'
    if isinstance(error, Overloaded):
        headers["Retry-After"] = str(error.retry_after_s)
    detail = str(error)
    if status >= 500:
        _LOG.warning("request_failed", trace_id=trace_of(request), reason=detail)
        detail = "a part of the house is down; try again shortly" if status == 503 else ""
    return problem(status, detail, trace_of(request), headers=headers)


def _malformed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  narrowed by the registration
    errors = [
        FieldProblem(place=".".join(str(p) for p in e["loc"])[:200], reason=str(e["msg"])[:300])
        for e in error.errors()[:20]
    ]
    return problem(422, "the request does not fit its schema", trace_of(request), errors)


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  narrowed by the registration below
    return problem(error.status_code, "", trace_of(request), headers=error.headers)


def install(app: FastAPI, on_refused: Callable[[Request, Refused], None]) -> None:
    """Make the application answer its errors as problems; refusals are told to `on_refused`."""

    def known(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, Refused):
            on_refused(request, error)
        return _known(request, error)

    app.add_exception_handler(InopsioError, known)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
