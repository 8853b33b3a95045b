"""Read what well-known Unix programs say in syslog: sshd, sudo, su, cron, iptables, ...

Message forms: OpenSSH auth.c and auth2.c, sudo's logging.c, Linux-PAM pam_unix, shadow-utils,
Vixie cron, netfilter's LOG target, systemd.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

from pipelines.parsers._text import groups

_IPTABLES: Final = (
    r".*?IN=(\S*) OUT=(\S*) .*?SRC=(\S+) DST=(\S+) .*?PROTO=(\S+)(?: SPT=(\d+) DPT=(\d+))?"
)
_IPTABLES_COLUMNS: Final = (
    "unmapped.IN",
    "unmapped.OUT",
    "src_endpoint.ip",
    "dst_endpoint.ip",
    "connection_info.protocol_name",
    "src_endpoint.port",
    "dst_endpoint.port",
)
_SSHD: Final = ("sshd", "sshd-session")
_FROM: Final = ("src_endpoint.ip", "src_endpoint.port")
_SU: Final = ("user.name", "actor.user.name")
_JOB: Final = r"^\((\S+)\) "


@dataclass(frozen=True, slots=True)
class Saying:
    """One thing that programs say: who, how, the columns its groups fill, what it means."""

    programs: tuple[str, ...]
    pattern: str
    columns: tuple[str, ...]
    class_uid: int
    activity_id: int
    status_id: int | None = None
    status_detail: str | None = None
    action: str | None = None


SAYINGS: Final[tuple[Saying, ...]] = (
    Saying(
        _SSHD,
        r"^Accepted (\S+) for (\S*) from (\S+) port (\d+)",
        ("auth_protocol", "user.name", *_FROM),
        3002,
        1,
        1,
    ),
    Saying(
        _SSHD,
        r"^Failed (\S+) for (?:invalid user )?(.*) from (\S+) port (\d+)",
        ("auth_protocol", "user.name", *_FROM),
        3002,
        1,
        2,
    ),
    Saying(
        _SSHD,
        r"^Invalid user (.*) from (\S+)(?: port (\d+))?",
        ("user.name", *_FROM),
        3002,
        1,
        2,
        "invalid user",
    ),
    Saying(
        _SSHD,
        r"^(?:Disconnected from|Connection (?:closed|reset) by)(?: (?:authenticating|invalid))?"
        r"(?: user (.*))? (\S+) port (\d+)",
        ("user.name", *_FROM),
        4007,
        2,
    ),
    Saying(
        (),
        r"^pam_\w+\(\S+:auth\): authentication failure;"
        r".*?ruser=(\S*) rhost=(\S*)(?:\s+user=(\S+))?",
        ("actor.user.name", "src_endpoint.ip", "user.name"),
        3002,
        1,
        2,
        "authentication failure",
    ),
    Saying(
        (),
        r"^pam_\w+\(\S+:session\): session opened for user ([^\s(]+)",
        ("user.name",),
        3003,
        0,
        1,
    ),
    Saying(
        (),
        r"^pam_\w+\(\S+:session\): session closed for user ([^\s(]+)",
        ("user.name",),
        3002,
        2,
        1,
    ),
    Saying(
        ("sudo",),
        r"^\s*(\S+) : (?:(.*?) ; )?TTY=\S+ ; PWD=(.*?) ; USER=(\S+) ;"
        r"(?: .*? ;)? COMMAND=((\S+).*)$",
        (
            "actor.user.name",
            "status_detail",
            "process.working_directory",
            "user.name",
            "process.cmd_line",
            "process.file.path",
        ),
        1007,
        1,
    ),
    Saying(("su",), r"^FAILED (?:SU|su) \(to (\S+)\) (\S+) on", _SU, 3002, 1, 2),
    Saying(("su",), r"^\(to (\S+)\) (\S+) on", _SU, 3002, 1, 1),
    Saying(
        ("CRON", "cron", "crond"),
        _JOB + r"CMD \(\s*(.*?)\s*\)$",
        ("actor.user.name", "process.cmd_line"),
        1007,
        1,
    ),
    Saying(("crontab",), _JOB + r"REPLACE \((\S+)\)", ("actor.user.name", "user.name"), 1006, 3),
    Saying(("crontab",), _JOB + r"DELETE \((\S+)\)", ("actor.user.name", "user.name"), 1006, 4),
    Saying(
        ("useradd",), r"^new user: name=([^,]+), UID=(\d+)", ("user.name", "user.uid"), 3001, 1, 1
    ),
    Saying(("userdel",), r"^delete user '(.*?)'", ("user.name",), 3001, 6, 1),
    Saying(
        ("passwd", "chpasswd", "usermod"),
        r"password changed for (\S+)|^change user '(.*?)' password",
        ("user.name", "user.uid"),
        3001,
        3,
        1,
    ),
    Saying(("usermod", "passwd"), r"^lock user '(.*?)' password", ("user.name",), 3001, 9, 1),
    Saying(
        ("usermod", "gpasswd"),
        r"^add '(.*?)' to group '(.*?)'",
        ("user.name", "unmapped.group"),
        3006,
        3,
        1,
    ),
    Saying(("groupadd",), r"^new group: name=([^,]+)", ("unmapped.group",), 3006, 6, 1),
    Saying(
        ("kernel",),
        r"^.*?(?i:BLOCK|DROP|DENY|DENIED|REJECT)" + _IPTABLES,
        _IPTABLES_COLUMNS,
        4001,
        5,
        action="drop",
    ),
    Saying(
        ("kernel",),
        r"^.*?(?i:ACCEPT|ALLOW|PASS)" + _IPTABLES,
        _IPTABLES_COLUMNS,
        4001,
        1,
        action="accept",
    ),
    Saying(("kernel",), "^" + _IPTABLES, _IPTABLES_COLUMNS, 4001, 6),
    Saying(
        ("systemd-logind",),
        r"^New session (\S+) of user (\S+?)\.?$",
        ("actor.session.uid", "user.name"),
        3003,
        0,
        1,
    ),
    Saying(("systemd",), r"^Started (.*?)\.?$", ("service.name",), 6002, 3, 1),
    Saying(("systemd",), r"^Stopped (.*?)\.?$", ("service.name",), 6002, 4, 1),
)

PROGRAM: Final = "metadata.log_provider"


def read_sayings(frame: pl.DataFrame) -> pl.DataFrame:
    """Add class, activity and columns to the rows whose program and `message` are known.

    Reads `position`, `metadata.log_provider`, `message`; rows not understood become base events.
    """
    rest = frame
    known: list[pl.DataFrame] = []
    for saying in SAYINGS:
        said = pl.col("message").str.contains(saying.pattern)
        if saying.programs:
            said = pl.col(PROGRAM).is_in(saying.programs) & said
            if not rest[PROGRAM].is_in(saying.programs).any():
                continue
        mask = rest.select(said.fill_null(value=False)).to_series()
        if mask.any():
            known.append(_filled(rest.filter(mask), saying))
            rest = rest.filter(~mask)
    rest = rest.with_columns(pl.lit(0, pl.Int32).alias("class_uid"))
    return pl.concat([rest, *known], how="diagonal_relaxed").sort("position")


def _filled(rows: pl.DataFrame, saying: Saying) -> pl.DataFrame:
    consts: dict[str, int | str | None] = {
        "class_uid": saying.class_uid,
        "activity_id": saying.activity_id,
        "status_id": saying.status_id,
        "status_detail": saying.status_detail,
        "unmapped.action": saying.action,
    }
    rows = rows.with_columns(
        *(
            pl.lit(value, pl.Int32 if isinstance(value, int) else None).alias(name)
            for name, value in consts.items()
            if value is not None
        ),
        *groups("message", saying.pattern, saying.columns),
    )
    if saying.programs == ("sudo",):
        failed = pl.when(pl.col("status_detail").is_null()).then(1).otherwise(2)
        rows = rows.with_columns(failed.cast(pl.Int32).alias("status_id"))
    if "connection_info.protocol_name" in rows.columns:
        name = pl.col("connection_info.protocol_name").str.to_lowercase()
        rows = rows.with_columns(name)
    return rows
