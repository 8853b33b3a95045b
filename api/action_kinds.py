"""Say what may be done on a host: kinds of actions, what each needs, how far it goes."""

import ipaddress
import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from storage.errors import InvalidInput

MOST_COLLECTED: Final = 64 << 20
_PROCESS: Final = r"^[0-9a-f]{8}-[1-9][0-9]{0,9}-[0-9]{1,20}$"
Minutes = Annotated[int, Field(ge=1, le=1440, description="in force for so long at most")]
Process = Annotated[
    str,
    Field(pattern=_PROCESS, description="`process.uid` of its events: boot, pid and start time"),
]
AbsolutePath = Annotated[str, Field(min_length=2, max_length=1000, pattern=r"^/[^\x00-\x1f\x7f]+$")]


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Isolate(_Arguments):
    """Cut the host off from the network but for this house."""

    minutes: Minutes = 60


class Kill(_Arguments):
    """End a process and all that it started."""

    process: Process
    tree: bool = True


class Suspend(_Arguments):
    """Stop a process and all that it started, so that they can go on again."""

    process: Process
    tree: bool = True


def _straight(path: str) -> str:
    if any(part in {"", ".", ".."} for part in path[1:].split("/")):
        raise ValueError("the path has no '..', '.' or empty part")
    return path


class Collect(_Arguments):
    """Take a copy of a regular file as evidence."""

    path: Annotated[AbsolutePath, AfterValidator(_straight)]
    most_bytes: int = Field(16 << 20, ge=1, le=MOST_COLLECTED)


class Maps(_Arguments):
    """Take a process' memory map as evidence: which files and regions, not what is in them."""

    process: Process


class BlockIp(_Arguments):
    """Drop all traffic with an address or a network."""

    address: str = Field(max_length=60)
    minutes: Minutes = 60

    @field_validator("address")
    @classmethod
    def _network(cls, text: str) -> str:
        found = ipaddress.ip_network(text, strict=False)
        least = 8 if found.version == 4 else 16
        if found.prefixlen < least or found.is_loopback or found.is_unspecified:
            raise ValueError(f"a network of /{least} or smaller, and not this host's own")
        return str(found)


class BlockHash(_Arguments):
    """Refuse to start programs with this SHA-256."""

    sha256: str
    minutes: Minutes = 60

    @field_validator("sha256")
    @classmethod
    def _hex(cls, text: str) -> str:
        lower = text.lower().removeprefix("sha256=")
        if not re.fullmatch(r"[0-9a-f]{64}", lower):
            raise ValueError("a SHA-256 is 64 hex digits")
        return lower


class Query(_Arguments):
    """Ask the host for a table; there is no other way to ask, and no shell."""

    table: Literal["processes", "sockets", "users", "packages", "files"]
    path: Annotated[AbsolutePath, AfterValidator(_straight)] | None = Field(
        None, description="of the table `files` only"
    )
    limit: int = Field(500, ge=1, le=1000)


KINDS: Final[dict[str, type[_Arguments]]] = {
    "isolate": Isolate,
    "kill": Kill,
    "suspend": Suspend,
    "collect": Collect,
    "maps": Maps,
    "block_ip": BlockIp,
    "block_hash": BlockHash,
    "query": Query,
}
LASTING: Final = frozenset({"isolate", "suspend", "block_ip", "block_hash"})
"""What stays in force until it is undone or its time is over."""
UNDOABLE: Final = LASTING
FREE: Final = frozenset({"query", "undo"})
"""What needs no second person: it changes nothing, or takes a change back."""
COLLECTS: Final = frozenset({"collect", "maps"})


def read_arguments(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    """Check what an action is asked with; InvalidInput names the field. Gives all fields."""
    if kind not in KINDS:
        raise InvalidInput(f"there is no action {kind[:40]!r}; there are {', '.join(KINDS)}")
    try:
        made = KINDS[kind].model_validate(given)
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or kind
        raise InvalidInput(f"{place}: {first['msg']}") from None
    if isinstance(made, Query) and (made.table == "files") != (made.path is not None):
        raise InvalidInput("path: the table 'files' needs one, the others take none")
    return made.model_dump(exclude_none=True)
