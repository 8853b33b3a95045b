"""Read AWS CloudTrail: `{"Records": [...]}` files (one or several), arrays, and JSON lines.

Fields: AWS CloudTrail user guide, "CloudTrail record contents". Every field stays addressable by
its dotted name, `unmapped.userIdentity.arn`; a nested list is JSON text. ConsoleLogin is an
authentication, changes of IAM users, roles and groups are account or group changes, the rest is
API activity. `position` is the record's number.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

import polars as pl

from pipelines.parsers import Parsed
from pipelines.parsers._json import Records, decode
from pipelines.parsers._json import split as split_json
from pipelines.parsers._lines import MAX_LINE_BYTES, utf8
from pipelines.parsers._text import finish
from pipelines.parsers._time import parse_times
from storage.schema import UNMAPPED

FORMAT: Final = "cloudtrail"

_TEXTS: Final[dict[str, tuple[str, ...]]] = {
    "api.operation": ("eventName",),
    "api.service.name": ("eventSource",),
    "metadata.event_code": ("eventName",),
    "metadata.log_provider": ("eventSource",),
    "cloud.region": ("awsRegion",),
    "cloud.account.uid": ("recipientAccountId", "userIdentity.accountId"),
    "src_endpoint.ip": ("sourceIPAddress",),
    "http_request.user_agent": ("userAgent",),
    "actor.user.name": (
        "userIdentity.userName",
        "userIdentity.sessionContext.sessionIssuer.userName",
        "userIdentity.type",
    ),
    "actor.user.uid": ("userIdentity.arn", "userIdentity.principalId"),
    "actor.session.uid": ("userIdentity.accessKeyId",),
    "status_detail": ("errorMessage", "errorCode"),
}
_LOGIN: Final = ("ConsoleLogin", "SwitchRole", "ExitRole")
_ACCOUNT: Final = {
    "CreateUser": 1,
    "CreateRole": 1,
    "CreateLoginProfile": 1,
    "CreateAccessKey": 1,
    "DeleteUser": 6,
    "DeleteRole": 6,
    "DeleteLoginProfile": 6,
    "DeleteAccessKey": 6,
    "ChangePassword": 3,
    "UpdateLoginProfile": 4,
    "UpdateUser": 0,
    "UpdateAccessKey": 0,
    "UpdateAssumeRolePolicy": 0,
    "AttachUserPolicy": 7,
    "AttachRolePolicy": 7,
    "PutUserPolicy": 7,
    "PutRolePolicy": 7,
    "DetachUserPolicy": 8,
    "DetachRolePolicy": 8,
    "DeleteUserPolicy": 8,
    "DeleteRolePolicy": 8,
}
_GROUP: Final = {
    "AddUserToGroup": 3,
    "RemoveUserFromGroup": 4,
    "CreateGroup": 6,
    "DeleteGroup": 5,
    "AttachGroupPolicy": 1,
    "PutGroupPolicy": 1,
}
_VERBS: Final = (
    dict.fromkeys(("Create", "Run", "Put", "Add", "Register"), 1)
    | dict.fromkeys(("Get", "List", "Describe", "Lookup", "Head", "Batch"), 2)
    | dict.fromkeys(("Update", "Modify", "Set", "Attach"), 3)
    | dict.fromkeys(("Delete", "Remove", "Terminate", "Deregister", "Detach"), 4)
)
_VERB: Final = f"^({'|'.join(_VERBS)})"
_CONTAINER: Final = re.compile(rb'\s*\{\s*"Records"\s*:\s*\[')
# Everything up to and including the next brace outside a string; possessive: never quadratic.
_TO_BRACE: Final = re.compile(rb'(?:[^"{}]++|"(?:[^"\\]++|\\.)*+")*+([{}])', re.DOTALL)
_BETWEEN: Final = b" \t\r\n,[]"
_LOOK_AHEAD: Final = 256


def matches(head: bytes) -> float:
    """Say 0.97 for JSON with CloudTrail's own field names.

    >>> matches(b'{"Records":[{"eventVersion":"1.08","eventSource":"s3.amazonaws.com"')
    0.97
    """
    if not head.lstrip(b"\xef\xbb\xbf \t\r\n[").startswith(b"{"):
        return 0.0
    if b'"eventSource"' in head and (b'"userIdentity"' in head or b'"eventVersion"' in head):
        return 0.97
    return 0.6 if _CONTAINER.match(head) else 0.0


def parse(chunks: Iterable[bytes]) -> Iterator[Parsed]:
    """Give one event a record; OCSF columns beside CloudTrail's own names as `unmapped.*`."""
    for records in decode(_as_lines(chunks)):
        yield Parsed(_events(records), records.rejects)


def split(chunks: Iterable[bytes], max_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Cut into JSON-lines messages: (number of the first record, bytes)."""
    yield from split_json(_as_lines(chunks), max_bytes)


def _as_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Give a stream of `Records` documents as one record a line; anything else as it is."""
    stream = utf8(chunks)
    head = b""
    for piece in stream:
        head += piece
        if len(head) >= 4096:
            break
    stream = chain((head,), stream)
    return _unpacked(stream) if _CONTAINER.match(head) else stream


def _unpacked(chunks: Iterable[bytes]) -> Iterator[bytes]:
    scanner = _Scanner()
    for chunk in _larger(chunks):
        yield b"".join(scanner.feed(chunk, is_last=False))
    yield b"".join(scanner.feed(b"", is_last=True))


class _Scanner:
    """Find the records inside `Records` documents; keep what is not complete yet."""

    def __init__(self) -> None:
        self.kept = bytearray()
        self.at = 0
        self.start = 0
        self.depth = 0

    def feed(self, chunk: bytes, *, is_last: bool) -> Iterator[bytes]:
        """Give each complete record as a line, and what stands between records as lines too."""
        self.kept += chunk
        while found := _TO_BRACE.match(self.kept, self.at):
            if found[1] == b"{" and self.depth == 0:
                if len(self.kept) - found.end() < _LOOK_AHEAD and not is_last:
                    break
                yield from self._junk(found.end() - 1)
                self._open(found.end())
                continue
            if self.depth == 0:
                yield from self._junk(found.end() - 1)
            self.at = found.end()
            self.depth = max(self.depth + (1 if found[1] == b"{" else -1), 0)
            if self.depth == 0 and found[1] == b"}" and self.start >= 0:
                yield _one_line(self.kept[self.start : self.at])
                self.start = -1
        yield from self._trim(is_last=is_last)

    def _open(self, after: int) -> None:
        held = _CONTAINER.match(self.kept, after - 1)
        self.at = held.end() if held else after
        self.start = -1 if held else after - 1
        self.depth = 0 if held else 1

    def _junk(self, end: int) -> Iterator[bytes]:
        junk = bytes(self.kept[self.at : end]).strip(_BETWEEN)
        if junk:
            yield _one_line(junk)

    def _trim(self, *, is_last: bool) -> Iterator[bytes]:
        done = self.at if self.depth == 0 else self.start
        del self.kept[:done]
        self.at, self.start = self.at - done, 0 if self.depth else -1
        rest = self.kept.strip(None if self.depth else _BETWEEN)
        if rest and (is_last or len(self.kept) > MAX_LINE_BYTES):
            yield _one_line(rest)
            self.kept.clear()
            self.at, self.start, self.depth = 0, -1, 0


def _larger(chunks: Iterable[bytes], size: int = 1 << 18) -> Iterator[bytes]:
    """Make pieces of one size, so that a record is not scanned once a byte."""
    kept = bytearray()
    for chunk in chunks:
        kept += chunk
        while len(kept) >= size:
            yield bytes(kept[:size])
            del kept[:size]
    yield bytes(kept)


def _one_line(record: bytes | bytearray) -> bytes:
    return bytes(record).replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"


def _events(records: Records) -> pl.DataFrame:
    fields = records.fields
    has = set(fields.columns)
    time = parse_times([fields["eventTime"]] if "eventTime" in has else [], records.position.len())
    frame = pl.concat(
        [records.position.to_frame(), time.to_frame(), fields.rename(lambda n: UNMAPPED + n)],
        how="horizontal",
    )
    for name in ("eventName", "eventSource", "errorCode"):
        if name not in has:
            frame = frame.with_columns(pl.lit(None, pl.String).alias(UNMAPPED + name))
    columns: dict[str, pl.Expr] = {"metadata.log_name": pl.lit("cloudtrail")}
    for target, names in _TEXTS.items():
        if found := [pl.col(UNMAPPED + name) for name in names if name in has]:
            columns[target] = pl.coalesce(found)
    columns |= _class() | _status(has) | _parents(has)
    frame = frame.with_columns(**columns)
    return finish(_with_subject(frame, has), FORMAT, "aws")


def _class() -> dict[str, pl.Expr]:
    name = pl.col("unmapped.eventName")
    is_iam = pl.col("unmapped.eventSource") == "iam.amazonaws.com"
    verb = name.str.extract(_VERB).replace_strict(_VERBS, default=0, return_dtype=pl.Int32)
    account = pl.when(is_iam).then(name.replace_strict(_ACCOUNT, default=None))
    group = pl.when(is_iam).then(name.replace_strict(_GROUP, default=None))
    is_login = name.is_in(_LOGIN)
    return {
        "class_uid": pl.when(is_login)
        .then(3002)
        .when(account.is_not_null())
        .then(3001)
        .when(group.is_not_null())
        .then(3006)
        .otherwise(6003),
        "activity_id": pl.when(is_login).then(1).otherwise(pl.coalesce(account, group, verb)),
    }


def _status(has: set[str]) -> dict[str, pl.Expr]:
    failed = pl.col("unmapped.errorCode").is_not_null()
    if "responseElements.ConsoleLogin" in has:
        console = pl.col("unmapped.responseElements.ConsoleLogin") == "Failure"
        failed = failed | console.fill_null(value=False)
    return {"status_id": pl.when(failed).then(2).otherwise(1)}


def _parents(has: set[str]) -> dict[str, pl.Expr]:
    """Give the parameter objects as JSON-like text too: rules search in the whole object."""
    more: dict[str, pl.Expr] = {}
    for parent in ("requestParameters", "responseElements"):
        inner = [name for name in sorted(has) if name.startswith(f"{parent}.")]
        if inner:
            pairs = [
                pl.concat_str(
                    pl.lit(f'"{name[len(parent) + 1 :]}":"'), UNMAPPED + name, pl.lit('"')
                )
                for name in inner
            ]
            text = pl.concat_str(pairs, separator=",", ignore_nulls=True)
            text = pl.when(text != "").then(pl.concat_str(pl.lit("{"), text, pl.lit("}")))
            own = [pl.col(UNMAPPED + parent)] if parent in has else []
            more[UNMAPPED + parent] = pl.coalesce(*own, text)
    containers = "requestParameters.containerDefinitions"
    if containers in has:
        more[f"{UNMAPPED}{containers}.command"] = pl.col(UNMAPPED + containers)
    return more


def _with_subject(frame: pl.DataFrame, has: set[str]) -> pl.DataFrame:
    """Fill `user.name`: who signed in, or which account was changed."""
    names = ("userName", "roleName", "groupName")
    found = [f"unmapped.requestParameters.{n}" for n in names if f"requestParameters.{n}" in has]
    changed = pl.coalesce([pl.col(n) for n in found]) if found else pl.lit(None, pl.String)
    actor = "actor.user.name" if "actor.user.name" in frame.columns else None
    is_login = pl.col("class_uid") == 3002
    is_change = pl.col("class_uid").is_in([3001, 3006])
    signed_in = pl.col(actor) if actor else pl.lit(None, pl.String)
    return frame.with_columns(
        pl.when(is_login).then(signed_in).when(is_change).then(changed).alias("user.name")
    )
