"""Map Windows events, whoever shipped them, to event columns beside their original fields."""

import re
from functools import lru_cache
from typing import Final

import polars as pl

from pipelines.parsers._json import Records
from pipelines.parsers._time import parse_times
from pipelines.parsers._windows_classes import CHANNEL_CODES, FAMILY_STEP, MEANINGS
from pipelines.parsers._windows_names import SYSTEM, WINLOGBEAT
from storage.schema import UNMAPPED

_PREFIXES: Final = re.compile(
    r"^(?:_source\.|data\.)*(?:(?P<wazuh>win\.(?:eventdata|system)\.)|(?P<beat>winlog\.)|Event\.)"
)
_SYSMON: Final = "Microsoft-Windows-Sysmon"
_SECURITY: Final = CHANNEL_CODES["security"]
_OBJECT_EVENTS: Final = [_SECURITY + n for n in (4656, 4657, 4658, 4660, 4663, 4670)]
_REGISTRY_EVENT: Final = CHANNEL_CODES[f"{_SYSMON}/Operational".lower()] + 12
_SCRIPT_BLOCKS: Final = [CHANNEL_CODES["windows powershell"] + n for n in (4103, 4104)]
# The audit bits of Keywords, as the XML writes them and as nxlog does (signed).
_AUDIT: Final = {
    "0x8020000000000000": 1,
    "-9214364837600034816": 1,
    "0x8010000000000000": 2,
    "-9218868437227405312": 2,
}
_XMLNS: Final = re.compile(r"xmlns(?::[\w-]+)?$")
_TIMES: Final = ("SystemTime", "UtcTime", "TimeCreated", "@timestamp", "EventTime", "Timestamp")


@lru_cache(maxsize=256)
def _source_names(columns: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Give (column, source's own field name) for the columns worth keeping."""
    return tuple((c, name) for c in columns if (name := _source_name(c)))


def _source_name(column: str) -> str:
    if _XMLNS.search(column):
        return ""
    found = _PREFIXES.match(column)
    if found is None:
        return column
    rest = column[found.end() :]
    if found["beat"]:
        for section in ("event_data.", "user_data."):
            if rest.startswith(section):
                return rest[len(section) :]
        return WINLOGBEAT.get(f"winlog.{rest}", f"winlog.{rest}")
    if found["wazuh"]:
        if found["wazuh"] == "win.system.":
            return SYSTEM.get(rest.lower(), rest)
        return rest[:1].upper() + rest[1:]
    return _event_name(rest)


def _event_name(rest: str) -> str:
    """Name a field of the rendered XML (`Event.System...`, `Event.EventData...`)."""
    section, _, field = rest.partition(".")
    if section == "System":
        return SYSTEM.get(field.lower(), field)
    if section == "UserData":
        field = field.partition(".")[2] or field
    if section in ("EventData", "UserData", "RenderingInfo", "ProcessingErrorData"):
        if field == "#attributes.Name":
            return "EventData_Name"
        return field.removesuffix(".#text").replace("#attributes.", "")
    return rest.replace("#attributes.", "")


def source_fields(fields: pl.DataFrame) -> pl.DataFrame:
    """Rename the shipper's columns to the event's own names (`Image`, `EventID`, `Channel`, ...).

    Where two columns are the same field, the first value wins.
    """
    together: dict[str, list[str]] = {}
    for column, name in _source_names(tuple(fields.columns)):
        together.setdefault(name, []).append(column)
    return fields.select(
        (pl.col(cs[0]) if len(cs) == 1 else pl.coalesce(cs)).alias(name)
        for name, cs in together.items()
    )


class _Fields:
    """Answer expressions over the fields that the frame has."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names

    def first(self, *names: str) -> pl.Expr | None:
        """Give the first non-empty of the fields present; None where none is present."""
        found = [self._filled(n) for n in names if n in self.names]
        if not found:
            return None
        return found[0] if len(found) == 1 else pl.coalesce(found)

    def when(self, mask: str, *names: str) -> pl.Expr | None:
        """Give `first` in the rows where column `mask` is true."""
        found = self.first(*names)
        return None if found is None else pl.when(pl.col(mask)).then(found)

    def _filled(self, name: str) -> pl.Expr:
        # Windows writes '-' and '' for "nobody"; the original stays in `unmapped.`.
        value = pl.col(name)
        return pl.when((value != "-") & (value != "")).then(value)


def _either(*found: pl.Expr | None) -> pl.Expr | None:
    there = [f for f in found if f is not None]
    return pl.coalesce(there) if there else None


def whole_number(value: pl.Expr) -> pl.Expr:
    """Read a decimal or 0x number; null where it is none. Int64."""
    is_hex = value.str.starts_with("0x")
    digits = pl.when(is_hex).then(value.str.slice(2)).str.to_integer(base=16, strict=False)
    return pl.coalesce(pl.when(~is_hex).then(value).cast(pl.Int64, strict=False), digits)


def _account(value: pl.Expr | None) -> tuple[pl.Expr | None, pl.Expr | None]:
    """Cut a name with its domain before a backslash into (domain, name)."""
    if value is None:
        return None, None
    domain = value.str.extract(r"^([^\\]+)\\", 1)
    return domain, value.str.extract(r"([^\\]+)$", 1)


def normalise(records: Records) -> pl.DataFrame:
    """Give `position`, `time`, class, OCSF columns and `unmapped.<source field>`, row by row."""
    own = source_fields(records.fields)
    if own.width == 0:
        return pl.DataFrame({"position": records.position})
    names = set(own.columns)
    extra = {}
    if "Computer" not in names and "Hostname" in names:
        extra["Computer"] = pl.col("Hostname")
    if "Provider_Name" not in names and "SourceName" in names:
        extra["Provider_Name"] = pl.col("SourceName")
    own = own.with_columns(**extra) if extra else own
    names |= set(extra)
    work = own.with_columns(_keys(names)).with_columns(_classes(names)).with_columns(_masks())
    ocsf = work.select(_expressions(frozenset(names)))
    used = [s for s in ocsf if s.null_count() < len(s)]
    time = parse_times([own.get_column(n) for n in _TIMES if n in names], own.height)
    # Only words the source said: nxlog's SourceName must not answer for Provider_Name in a rule.
    unmapped = [s.alias(UNMAPPED + s.name) for s in own if s.name not in extra]
    return pl.DataFrame([records.position, time, *used, *unmapped])


@lru_cache(maxsize=64)
def _expressions(names: frozenset[str]) -> tuple[pl.Expr, ...]:
    """Build the expressions for a set of fields; batches of one source have few such sets."""
    found = _columns(_Fields(names))
    return tuple(expr.alias(name) for name, expr in found.items() if expr is not None)


def _keys(names: set[str]) -> pl.Expr:
    """Give `_key`: family code + event number, -1 where the event is not in the table."""
    missing = pl.lit(None, pl.String)
    event = pl.col("EventID") if "EventID" in names else missing
    channel = pl.col("Channel") if "Channel" in names else missing
    if "Provider_Name" in names:
        is_sysmon = channel.is_null() & (pl.col("Provider_Name") == _SYSMON)
        channel = pl.when(is_sysmon).then(pl.lit(f"{_SYSMON}/Operational")).otherwise(channel)
    code = channel.str.to_lowercase().replace_strict(
        CHANNEL_CODES, default=None, return_dtype=pl.Int32
    )
    number = event.cast(pl.Int32, strict=False)
    in_family = number.is_between(0, FAMILY_STEP - 1)
    return pl.when(in_family).then(code + number).fill_null(-1).alias("_key")


def _said(what: str) -> pl.Expr:
    table = {k: getattr(m, what) for k, m in MEANINGS.items()}
    dtype = pl.String() if what == "title" else pl.Int32()
    default = None if what == "title" else 0
    return pl.col("_key").replace_strict(table, default=default, return_dtype=dtype)


def _classes(names: set[str]) -> list[pl.Expr]:
    """Give `class_uid` and `activity_id`: by event number, refined by what the event says."""
    uid, activity = _said("class_uid"), _said("activity_id")
    if "ObjectType" in names:
        generic = pl.col("_key").is_in(_OBJECT_EVENTS)
        is_key = generic & (pl.col("ObjectType") == "Key")
        is_process = generic & (pl.col("ObjectType") == "Process")
        uid = pl.when(is_key).then(201001).when(is_process).then(1007).otherwise(uid)
        activity = pl.when(is_process).then(3).otherwise(activity)
    said = [n for n in ("EventType", "EventTypeOrignal") if n in names]
    if said:
        deleted = pl.any_horizontal(pl.col(n).str.starts_with("Delete") for n in said)
        activity = (
            pl.when((pl.col("_key") == _REGISTRY_EVENT) & deleted).then(4).otherwise(activity)
        )
    return [uid.cast(pl.Int32).alias("class_uid"), activity.cast(pl.Int32).alias("activity_id")]


def _masks() -> list[pl.Expr]:
    uid, activity = pl.col("class_uid"), pl.col("activity_id")
    process = uid == 1007
    return [
        process.alias("_process"),
        (process & (activity == 1)).alias("_launch"),
        (~process).alias("_acting"),
        uid.is_in([1001, 4010]).alias("_file"),
        uid.is_in([201001, 201002]).alias("_registry"),
        (uid == 4001).alias("_network"),
        pl.col("_key").is_in(_SCRIPT_BLOCKS).alias("_script"),
    ]


def _columns(f: _Fields) -> dict[str, pl.Expr | None]:
    domain, name = _account(f.first("User"))
    severity = pl.when(pl.col("Level").is_in(["1", "2"])).then(3) if "Level" in f.names else None
    status = _said("status_id")
    keywords = f.first("Keywords")
    if keywords is not None:
        status = pl.coalesce(
            keywords.replace_strict(_AUDIT, default=None, return_dtype=pl.Int32), status
        )
    found: dict[str, pl.Expr | None] = {
        "class_uid": pl.col("class_uid"),
        "activity_id": pl.col("activity_id"),
        "severity_id": pl.max_horizontal(_said("severity_id"), severity)
        if severity is not None
        else _said("severity_id"),
        "status_id": pl.when(status > 0).then(status),
        "metadata.product.name": pl.lit("windows"),
        "metadata.log_name": f.first("Channel"),
        "metadata.log_provider": f.first("Provider_Name"),
        "metadata.event_code": f.first("EventID"),
        "device.hostname": f.first("Computer", "Hostname"),
        "device.ip": _host_address(f),
        "message": _either(_said("title"), _first_line(f)),
        "actor.user.name": _either(f.first("SubjectUserName"), name),
        "actor.user.domain": _either(f.first("SubjectDomainName"), domain),
        "actor.user.uid": f.first("SubjectUserSid", "UserID"),
        "actor.session.uid": f.first("SubjectLogonId", "LogonId"),
        "user.name": f.first("TargetUserName", "MemberName", "TargetAccount"),
        "user.domain": f.first("TargetDomainName"),
        "user.uid": f.first("TargetUserSid", "TargetSid", "MemberSid"),
        "status_detail": f.first("FailureReason", "SubStatus", "Status"),
        "logon_type_id": _small(f.first("LogonType")),
        "auth_protocol": f.first("AuthenticationPackageName", "PackageName"),
        "service.name": f.first("ServiceName", "TaskName"),
        "finding_info.title": f.first("Threat Name"),
    }
    return found | _process_columns(f) | _object_columns(f)


def _process_columns(f: _Fields) -> dict[str, pl.Expr | None]:
    return {
        "process.file.path": f.when(
            "_process", "TargetImage", "NewProcessName", "Image", "ProcessName", "ObjectName"
        ),
        "process.file.internal_name": f.when("_launch", "OriginalFileName"),
        "process.file.hashes": f.when("_launch", "Hashes"),
        "process.cmd_line": _either(
            f.when("_process", "CommandLine", "ProcessCommandLine"),
            f.when("_script", "ScriptBlockText", "Payload"),
        ),
        "process.working_directory": f.when("_launch", "CurrentDirectory"),
        "process.integrity": f.when("_launch", "IntegrityLevel", "MandatoryLabel"),
        "process.uid": f.when("_process", "TargetProcessGUID", "TargetProcessGuid", "ProcessGuid"),
        "process.pid": _number(f.when("_process", "NewProcessId", "TargetProcessId", "ProcessId")),
        "process.parent_process.file.path": f.first("ParentImage", "ParentProcessName"),
        "process.parent_process.cmd_line": f.first("ParentCommandLine"),
        "process.parent_process.uid": f.first("ParentProcessGuid"),
        "process.parent_process.pid": _number(
            _either(f.first("ParentProcessId"), _new_process_parent(f))
        ),
        "actor.process.file.path": _either(
            f.first("SourceImage"),
            f.when("_acting", "Image", "ProcessName", "Application", "CallerProcessName"),
        ),
        "actor.process.cmd_line": f.when("_acting", "CommandLine"),
        "actor.process.pid": _number(
            _either(f.first("SourceProcessId"), f.when("_acting", "ProcessId", "CallerProcessId"))
        ),
    }


def _object_columns(f: _Fields) -> dict[str, pl.Expr | None]:
    return {
        "module.file.path": f.first("ImageLoaded"),
        "file.path": _either(
            f.first("TargetFilename"),
            f.when("_file", "ObjectName", "PipeName", "RelativeTargetName", "ShareName"),
            f.first("Path"),
        ),
        "file.hashes": f.when("_file", "Hashes", "Hash"),
        "reg_key.path": _either(f.first("TargetObject"), f.when("_registry", "ObjectName")),
        "reg_value.data": f.when("_registry", "Details", "NewValue"),
        "src_endpoint.ip": f.first(
            "SourceIp", "SourceAddress", "IpAddress", "ClientAddress", "Address"
        ),
        "src_endpoint.port": _small(f.first("SourcePort", "IpPort")),
        "src_endpoint.hostname": f.first("SourceHostname", "WorkstationName", "Workstation"),
        "dst_endpoint.ip": f.first("DestinationIp", "DestAddress"),
        "dst_endpoint.port": _small(f.first("DestinationPort", "DestPort")),
        "dst_endpoint.hostname": f.first("DestinationHostname", "TargetServerName"),
        "connection_info.protocol_name": _protocol(f),
        "connection_info.direction": _direction(f),
        "query.hostname": f.first("QueryName"),
        "answers": f.first("QueryResults"),
    }


def _new_process_parent(f: _Fields) -> pl.Expr | None:
    # Security 4688 names the creator `ProcessId` and the new process `NewProcessId`.
    if not {"NewProcessId", "ProcessId"} <= f.names:
        return None
    return pl.when(pl.col("NewProcessId").is_not_null()).then(pl.col("ProcessId"))


def _first_line(f: _Fields) -> pl.Expr | None:
    found = f.first("Message")
    return None if found is None else found.str.extract(r"^([^\r\n]{1,160})", 1)


def _host_address(f: _Fields) -> pl.Expr | None:
    # nxlog names the sender's address; Beats list all of the host's, link-local ones too.
    listed = f.first("host.ip")
    if listed is not None:
        local = pl.element().str.contains(r"^(?i:fe80:|169\.254\.)")
        listed = listed.str.split("\n").list.eval(pl.element().filter(~local)).list.first()
    return _either(f.first("MessageSourceAddress"), listed)


def _number(value: pl.Expr | None) -> pl.Expr | None:
    return None if value is None else whole_number(value)


def _small(value: pl.Expr | None) -> pl.Expr | None:
    return None if value is None else value.cast(pl.Int32, strict=False)


def _protocol(f: _Fields) -> pl.Expr | None:
    found = f.when("_network", "Protocol")
    if found is None:
        return None
    lower = found.str.to_lowercase()
    return lower.replace({"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6"})


def _direction(f: _Fields) -> pl.Expr | None:
    words = []
    if "Initiated" in f.names:
        flag = pl.col("Initiated").str.to_lowercase()
        table = {"true": "outbound", "false": "inbound"}
        words.append(flag.replace_strict(table, default=None, return_dtype=pl.String))
    if "Direction" in f.names:
        table = {"%%14592": "inbound", "%%14593": "outbound"}
        said = pl.col("Direction").replace_strict(table, default=None, return_dtype=pl.String)
        words.append(said)
    return _either(*words)
