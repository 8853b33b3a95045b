"""Find the column a rule's field name means: the source's own word first, then the OCSF one."""

import functools
from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._sigma.texts import FEW, Indexes
from detectors._sigma.values import Encoded, Stacked, Values, encoded
from storage.schema import COLUMNS, ENVELOPE, UNMAPPED, column_named

OCSF: Final[Mapping[str, str]] = {
    "EventID": "metadata.event_code",
    "Channel": "metadata.log_name",
    "Provider_Name": "metadata.log_provider",
    "Computer": "device.hostname",
    "Image": "process.file.path",
    "NewProcessName": "process.file.path",
    "ProcessName": "process.file.path",
    "OriginalFileName": "process.file.internal_name",
    "CommandLine": "process.cmd_line",
    "CurrentDirectory": "process.working_directory",
    "IntegrityLevel": "process.integrity",
    "ProcessId": "process.pid",
    "ProcessGuid": "process.uid",
    "ParentImage": "process.parent_process.file.path",
    "ParentProcessName": "process.parent_process.file.path",
    "ParentCommandLine": "process.parent_process.cmd_line",
    "ParentProcessId": "process.parent_process.pid",
    "ParentProcessGuid": "process.parent_process.uid",
    "Hashes": "process.file.hashes",
    "SourceImage": "actor.process.file.path",
    "TargetImage": "process.file.path",
    "User": "actor.user.name",
    "SubjectUserName": "actor.user.name",
    "SubjectUserSid": "actor.user.uid",
    "SubjectDomainName": "actor.user.domain",
    "SubjectLogonId": "actor.session.uid",
    "LogonId": "actor.session.uid",
    "TargetUserName": "user.name",
    "TargetUserSid": "user.uid",
    "TargetDomainName": "user.domain",
    "LogonType": "logon_type_id",
    "AuthenticationPackageName": "auth_protocol",
    "IpAddress": "src_endpoint.ip",
    "WorkstationName": "src_endpoint.hostname",
    "ImageLoaded": "module.file.path",
    "TargetFilename": "file.path",
    "TargetObject": "reg_key.path",
    "ObjectName": "reg_key.path",
    "Details": "reg_value.data",
    "NewValue": "reg_value.data",
    "ServiceName": "service.name",
    "TaskName": "service.name",
    "SourceIp": "src_endpoint.ip",
    "SourcePort": "src_endpoint.port",
    "SourceHostname": "src_endpoint.hostname",
    "DestinationIp": "dst_endpoint.ip",
    "DestinationPort": "dst_endpoint.port",
    "DestinationHostname": "dst_endpoint.hostname",
    "Protocol": "connection_info.protocol_name",
    "src_ip": "src_endpoint.ip",
    "src_port": "src_endpoint.port",
    "dst_ip": "dst_endpoint.ip",
    "dst_port": "dst_endpoint.port",
    "id.orig_h": "src_endpoint.ip",
    "id.orig_p": "src_endpoint.port",
    "id.resp_h": "dst_endpoint.ip",
    "id.resp_p": "dst_endpoint.port",
    "proto": "connection_info.protocol_name",
    "query": "query.hostname",
    "QueryName": "query.hostname",
    "QueryResults": "answers",
    "QueryStatus": "rcode",
    "record_type": "query.type",
    "answer": "answers",
    "c-ip": "src_endpoint.ip",
    "cs-method": "http_request.http_method",
    "cs-host": "http_request.url.hostname",
    "r-dns": "http_request.url.hostname",
    "c-dns": "http_request.url.hostname",
    "cs-uri": "http_request.url.path",
    "c-uri": "http_request.url.path",
    "cs-uri-stem": "http_request.url.path",
    "c-uri-stem": "http_request.url.path",
    "cs-uri-query": "http_request.url.path",
    "c-uri-query": "http_request.url.path",
    "cs-user-agent": "http_request.user_agent",
    "c-useragent": "http_request.user_agent",
    "sc-status": "http_response.code",
    "method": "http_request.http_method",
    "user_agent": "http_request.user_agent",
    "eventName": "api.operation",
    "eventSource": "api.service.name",
    "awsRegion": "cloud.region",
    "sourceIPAddress": "src_endpoint.ip",
    "Signature": "finding_info.title",
    "Filename": "file.path",
    "md5": "file.hashes",
    "sha1": "file.hashes",
    "sha256": "file.hashes",
}
"""A rule's usual field names -> OCSF column, for sources that do not say the word themselves."""

_EXTENSION: Final = r"^[^?#]*\.([A-Za-z0-9]{1,10})(?:[?#]|$)"
_HIDDEN: Final = frozenset(c.name for c in ENVELOPE)
KEYWORD_COLUMNS: Final = tuple(
    c.name for c in COLUMNS if c.name not in _HIDDEN and c.dtype == pl.String()
)
"""Where keywords are looked for, besides everything under `unmapped.`."""


class Columns:
    """Give the values of rules' fields for a whole batch, as text, each found once.

    `is_native`: Boolean a row, true where the parser keeps Windows' own words.
    """

    def __init__(self, frame: pl.DataFrame, is_native: pl.Series) -> None:
        """Remember which columns there are."""
        self._frame = frame
        self._is_native = is_native
        self._all_native = bool(is_native.all())
        self._any_native = bool(is_native.any())
        self._columns: dict[str, pl.Series | None] = dict.fromkeys(frame.columns)
        self._looked: set[str] = set()
        self._kept: dict[tuple[str, bool], Encoded | None] = {}
        self.height = frame.height

    @functools.cached_property
    def times_us(self) -> npt.NDArray[np.int64]:
        """When each row happened, us since 1970."""
        return self._frame.get_column("time").dt.epoch("us").to_numpy()

    def field(self, name: str, own_words_only: bool) -> pl.Series | None:
        """Give the field's values as String, null = absent; None if no row can have it.

        `own_words_only`: where Windows' own words are kept the OCSF map is not asked: it would blur
        what the rule means.
        """
        own = self._column(UNMAPPED + name)
        other = self._mapped(name, own_words_only)
        if own is None or other is None or own.null_count() == 0:
            return own if own is not None else other
        return own.zip_with(own.is_not_null(), other)

    def told(self, name: str, own_words_only: bool) -> pl.Series | None:
        """Give the field's values for showing and grouping: the OCSF map fills what is missing."""
        own, home = self.field(name, own_words_only), OCSF.get(name)
        other = self._column(home) if home is not None else None
        if own is None or other is None:
            return own if own is not None else other
        return own.zip_with(own.is_not_null(), other)

    def encoded(self, name: str, own_words_only: bool) -> Encoded | None:
        """Give the field's distinct values and each row's place among them."""
        key = name, own_words_only
        if key not in self._kept:
            column = self.field(name, own_words_only)
            self._kept[key] = None if column is None else encoded(column)
        return self._kept[key]

    @functools.cached_property
    def keyword_columns(self) -> tuple[Encoded, ...]:
        """All columns in which a keyword may stand.

        Where Windows' own words are kept, those: the parser's message is not the source's.
        """
        found: list[Encoded] = []
        for column in self._filled:
            if column.startswith(UNMAPPED) and (own := self._column(column)) is not None:
                name = column.removeprefix(UNMAPPED)
                is_alone = self._mapped(name, own_words_only=True) is None
                same = self.encoded(name, own_words_only=True) if is_alone else None
                found.append(same or encoded(own))
        if not self._all_native:
            columns = [self._column(c) for c in KEYWORD_COLUMNS if c in self._columns]
            found += [encoded(self._unless_native(c)) for c in columns if c is not None]
        return tuple(found)

    @functools.cached_property
    def _filled(self) -> list[str]:
        """The columns in which any row has a value: in a few rows of a wide batch, few."""
        if self.height > FEW:
            return list(self._columns)
        nulls = self._frame.null_count().row(0)
        return [c for c, n in zip(self._columns, nulls, strict=True) if n < self.height]

    def _unless_native(self, column: pl.Series) -> pl.Series:
        if not self._any_native:
            return column
        return column.zip_with(~self._is_native, pl.Series([None], dtype=pl.String))

    def _mapped(self, name: str, own_words_only: bool) -> pl.Series | None:
        if name == "c-uri-extension":
            asked = self._column("http_request.url.path")
            return None if asked is None else asked.str.extract(_EXTENSION, 1)
        home = name if column_named(name) else OCSF.get(name)
        if home is None:
            return None
        if own_words_only and self._all_native and home != name:
            return None
        found = self._column(home)
        if found is None or not own_words_only or home == name:
            return found
        return self._unless_native(found)

    def _column(self, name: str) -> pl.Series | None:
        if name not in self._columns:
            return None
        if name not in self._looked:
            self._looked.add(name)
            found = self._frame.get_column(name)
            if found.null_count() < len(found):
                text = found if found.dtype == pl.String else found.cast(pl.String)
                self._columns[name] = text
        return self._columns[name]


class Rows:
    """Give the values of rules' fields for some rows of a batch."""

    def __init__(self, columns: Columns, places: Indexes, *, own_words_only: bool) -> None:
        """Take the rows' places in the batch."""
        self._columns = columns
        self._size = len(places)
        self._places = None if self._size == columns.height else places
        self._own_words_only = own_words_only
        self._kept: dict[str, Values | None] = {}

    def __len__(self) -> int:
        return self._size

    def field(self, name: str) -> pl.Series | None:
        """Give the field's values as String, null = absent; None if no row can have it."""
        return self._gathered(self._columns.field(name, self._own_words_only))

    def told(self, name: str) -> pl.Series | None:
        """Give the field's values for showing and grouping: the OCSF map fills what is missing."""
        return self._gathered(self._columns.told(name, self._own_words_only))

    def times_us(self) -> npt.NDArray[np.int64]:
        """Give when each row happened, us since 1970."""
        found = self._columns.times_us
        return found if self._places is None else found[self._places]

    def values(self, name: str) -> Values | None:
        """Give the field's distinct values; None if no row has it."""
        if name not in self._kept:
            column = self._columns.encoded(name, self._own_words_only)
            found = None if column is None else Values(column, self._places)
            self._kept[name] = None if found is None or found.is_empty else found
        return self._kept[name]

    @functools.cached_property
    def stacked(self) -> Stacked:
        """All values in which a keyword may stand."""
        columns = [Values(column, self._places) for column in self._columns.keyword_columns]
        return Stacked(columns, len(self))

    def _gathered(self, column: pl.Series | None) -> pl.Series | None:
        return column if column is None or self._places is None else column.gather(self._places)
