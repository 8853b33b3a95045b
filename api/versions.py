"""Guard a document by its version: the ETag it is given with, the If-Match a change must carry."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from fastapi import Header, Response
from pydantic import BaseModel

from api.problems import VersionMissing
from storage.errors import InvalidInput

View = TypeVar("View", bound=BaseModel)
IfMatch = Annotated[str | None, Header(max_length=40)]
"""The ETag of the document as the client read it."""


def guarded(conflict: str = "") -> dict[int | str, dict[str, Any]]:
    """Give the refusals of a guarded change, for the API's description. `conflict`: of a 409."""
    refusals: dict[int | str, dict[str, Any]] = {409: {"description": conflict}} if conflict else {}
    return refusals | {
        412: {"description": "Changed by somebody else"},
        428: {"description": "No If-Match"},
    }


def answered(response: Response, view: type[View], row: Mapping[str, Any], **more: object) -> View:
    """Give the document and, as `ETag`, its version; `more`: fields beside those of the row."""
    response.headers["ETag"] = f'"{row["version"]}"'
    return view.model_validate({**row, **more})


def read_version(if_match: str | None) -> int:
    """Read If-Match. VersionMissing without it, InvalidInput if it is no ETag of ours."""
    if if_match is None:
        raise VersionMissing("send If-Match with the version you read, so that nothing is lost")
    digits = if_match.strip().removeprefix("W/").strip('"')
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise InvalidInput('If-Match must be the ETag of what is changed, as in "3"')
    return int(digits)
