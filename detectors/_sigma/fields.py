"""Find the column a rule's field name means: the source's own word first, then the OCSF one."""

from collections.abc import Mapping
from typing import Final

import polars as pl

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


class Rows:
    """Give the values of a rule's field for some rows of a batch, as text.

    `frame`: those rows. `is_native`: Boolean a row, true where the parser keeps Windows' own words.
    `own_words_only`: there, the OCSF map is not asked: it would blur what the rule means.
    """

    def __init__(self, frame: pl.DataFrame, is_native: pl.Series, *, own_words_only: bool) -> None:
        """Remember the rows and which columns there are."""
        self.frame = frame
        self._is_native = is_native
        self._own_words_only = own_words_only and bool(is_native.any())
        self._names = frozenset(frame.columns)

    def __len__(self) -> int:
        return self.frame.height

    def field(self, name: str) -> pl.Series | None:
        """Give the field's values as String, null = absent; None if no row can have it."""
        own = self._column(UNMAPPED + name)
        other = self._mapped(name)
        if own is None or other is None or own.null_count() == 0:
            return own if own is not None else other
        return own.zip_with(own.is_not_null(), other)

    def told(self, name: str) -> pl.Series | None:
        """Give the field's values for showing and grouping: the OCSF map fills what is missing."""
        own, home = self.field(name), OCSF.get(name)
        other = self._column(home) if home is not None else None
        if own is None or other is None:
            return own if own is not None else other
        return own.zip_with(own.is_not_null(), other)

    def stacked(self) -> pl.DataFrame:
        """Give all values in which a keyword may stand: columns `row` and `value`, no nulls.

        Where Windows' own words are kept, those: the parser's message is not the source's.
        """
        own = [c for c in self.frame.columns if c.startswith(UNMAPPED)]
        mapped = [c for c in KEYWORD_COLUMNS if c in self._names and not self._is_native.all()]
        wide = self.frame.select(
            *own, *(pl.when(~self._is_native).then(pl.col(c)).alias(c) for c in mapped)
        )
        long = wide.with_row_index("row").unpivot(index="row")
        return long.select("row", "value").drop_nulls("value")

    def _mapped(self, name: str) -> pl.Series | None:
        if name == "c-uri-extension":
            asked = self._column("http_request.url.path")
            return None if asked is None else asked.str.extract(_EXTENSION, 1)
        home = name if column_named(name) else OCSF.get(name)
        if home is None:
            return None
        found = self._column(home)
        if found is None or not self._own_words_only or home == name:
            return found
        if self._is_native.all():
            return None
        return found.zip_with(~self._is_native, pl.Series([None], dtype=pl.String))

    def _column(self, name: str) -> pl.Series | None:
        if name not in self._names:
            return None
        found = self.frame.get_column(name)
        if found.null_count() == len(found):
            return None
        return found if found.dtype == pl.String else found.cast(pl.String)
