"""Describe the API to those who are signed in."""

from typing import Annotated, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api.auth import require
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["openapi"])


@router.get("/openapi.json", summary="The OpenAPI document", response_class=JSONResponse)
def get(request: Request, scope: Annotated[Scope, require()]) -> JSONResponse:  # noqa: ARG001  the Scope is the lock
    """Give the description of every route; strangers get none."""
    return JSONResponse(request.app.state.api)
