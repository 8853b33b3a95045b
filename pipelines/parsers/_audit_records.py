"""Say what Linux audit records mean, and put the records of one event together.

Record types and fields: audit-userspace `lib/msg_typetab.h` and the audit documentation project's
field dictionary. System call names are those of the kernel's syscall tables.
"""

from typing import Final

import polars as pl

EVENT: Final = "event"
"""Column that is equal in the records of one audit event."""

FOLDED: Final = ("CWD", "PROCTITLE", "EOE", "BPRM_FCAPS")
"""Types that only complete other records of their event and then are no events of their own."""

CLASSES: Final[dict[str, tuple[int, int]]] = {
    "SYSCALL": (1003, 0),
    "EXECVE": (1007, 1),
    "PATH": (1001, 0),
    "SOCKADDR": (4001, 0),
    "USER_AUTH": (3002, 1),
    "USER_LOGIN": (3002, 1),
    "USER_LOGOUT": (3002, 2),
    "USER_END": (3002, 2),
    "USER_START": (3003, 0),
    "USER_CMD": (1007, 1),
    "ADD_USER": (3001, 1),
    "DEL_USER": (3001, 6),
    "USER_CHAUTHTOK": (3001, 3),
    "USER_MGMT": (3001, 0),
    "ACCT_LOCK": (3001, 9),
    "ACCT_UNLOCK": (3001, 12),
    "ADD_GROUP": (3006, 6),
    "DEL_GROUP": (3006, 5),
    "GRP_MGMT": (3006, 0),
    "SERVICE_START": (6002, 3),
    "SERVICE_STOP": (6002, 4),
    "DAEMON_START": (6002, 3),
    "DAEMON_END": (6002, 4),
    "CONFIG_CHANGE": (5002, 1),
    "KERN_MODULE": (1002, 1),
}
_NAMETYPES: Final = {"CREATE": 1, "DELETE": 4, "NORMAL": 14}
_X86_64: Final = {
    "0": "read", "1": "write", "2": "open", "41": "socket", "42": "connect", "43": "accept",
    "49": "bind", "50": "listen", "56": "clone", "57": "fork", "59": "execve", "62": "kill",
    "76": "truncate", "82": "rename", "83": "mkdir", "84": "rmdir", "85": "creat", "86": "link",
    "87": "unlink", "88": "symlink", "90": "chmod", "92": "chown", "101": "ptrace",
    "105": "setuid", "106": "setgid", "159": "adjtimex", "161": "chroot", "164": "settimeofday",
    "165": "mount", "166": "umount2", "175": "init_module", "176": "delete_module",
    "188": "setxattr", "227": "clock_settime", "257": "openat", "263": "unlinkat",
    "264": "renameat", "268": "fchmodat", "288": "accept4", "313": "finit_module",
    "316": "renameat2", "319": "memfd_create", "321": "bpf", "322": "execveat",
}  # fmt: skip
_AARCH64: Final = {
    "35": "unlinkat", "38": "renameat", "40": "mount", "53": "fchmodat", "56": "openat",
    "105": "init_module", "106": "delete_module", "117": "ptrace", "198": "socket",
    "200": "bind", "203": "connect", "221": "execve", "273": "finit_module", "276": "renameat2",
    "279": "memfd_create", "280": "bpf", "281": "execveat",
}  # fmt: skip
_TABLES: Final = {"c000003e": _X86_64, "c00000b7": _AARCH64}
_SYSCALLS: Final = {f"{a}/{n}": name for a, table in _TABLES.items() for n, name in table.items()}
_FLAGS: Final = {"open": "a1", "openat": "a2"}
"""System call -> the argument (hex) with the flags of open(2): O_WRONLY is 1, O_RDWR is 2."""
_WRITES: Final = r"[^048cC]$"
_CHANGES: Final = {
    "creat": 3, "truncate": 3, "chmod": 6, "fchmodat": 6, "chown": 7, "fchownat": 7, "lchown": 7,
    "setxattr": 6, "lsetxattr": 6,
}  # fmt: skip
"""System call on an existing file -> OCSF file activity."""
_CONTEXT: Final = (
    "exe",
    "pid",
    "ppid",
    "success",
    "SYSCALL",
    "cwd",
    "proctitle",
    "ses",
    "cmd_line",
)
_UNSET: Final = ["4294967295", "-1"]
_CONTEXT_USERS: Final = ("auid", "uid", "AUID", "UID")


def with_syscall_name(frame: pl.DataFrame) -> pl.DataFrame:
    """Fill `SYSCALL` from `arch` and `syscall` where the log is not enriched."""
    if not {"arch", "syscall"} <= set(frame.columns):
        return frame
    own = [pl.col("SYSCALL")] if "SYSCALL" in frame.columns else []
    number = pl.concat_str("arch", pl.lit("/"), "syscall")
    name = number.replace_strict(_SYSCALLS, default=None, return_dtype=pl.String)
    return frame.with_columns(pl.coalesce(*own, name).alias("SYSCALL"))


def with_context(frame: pl.DataFrame) -> pl.DataFrame:
    """Give each record, as `~name`, what the records of its event say about the process."""
    found = [n for n in (*_CONTEXT, *_CONTEXT_USERS) if n in frame.columns]
    first = [pl.col(name).drop_nulls().first().over(EVENT).alias(f"~{name}") for name in found]
    first.append(_is_write(frame).max().over(EVENT).alias("~writes"))
    folded = pl.col("type").is_in(FOLDED)
    alone = folded.all().over(EVENT)
    starts = (pl.col("type") == "EXECVE").any().over(EVENT)
    missing = [n for n in (*_CONTEXT, *_CONTEXT_USERS) if n not in frame.columns]
    return frame.with_columns(
        *first,
        *(pl.lit(None, pl.String).alias(f"~{name}") for name in missing),
        (folded & ~alone & (pl.col("type") != "EOE")).alias("folded"),
        starts.alias("starts"),
    ).filter(~pl.col("folded") & (pl.col("type") != "EOE"))


def _is_write(frame: pl.DataFrame) -> pl.Expr:
    """Tell the SYSCALL records that open a file for writing."""
    found = pl.lit(value=False)
    for call, argument in _FLAGS.items():
        if {"SYSCALL", argument} <= set(frame.columns):
            opens = (pl.col("type") == "SYSCALL") & (pl.col("SYSCALL") == call)
            found = found | (opens & pl.col(argument).str.contains(_WRITES))
    return found.fill_null(value=False)


_SOCKET_CALLS: Final = {"connect": 1, "bind": 7, "listen": 7, "accept": 1, "accept4": 1}


def _file_activity(nametype: pl.Expr) -> pl.Expr:
    """Give the file activity of a PATH record: by its name type, or by the call that touched it."""
    by_type = nametype.replace_strict(_NAMETYPES, default=0, return_dtype=pl.Int32)
    by_call = pl.col("~SYSCALL").replace_strict(_CHANGES, default=None, return_dtype=pl.Int32)
    change = pl.coalesce(pl.when("~writes").then(3), by_call, by_type)
    return pl.when(nametype == "NORMAL").then(change).otherwise(by_type)


def _whole_path(path: pl.Expr) -> pl.Expr:
    is_whole = path.str.starts_with("/") | pl.col("~cwd").is_null()
    return pl.when(is_whole).then(path).otherwise(pl.concat_str("~cwd", pl.lit("/"), path))


def meaning(frame: pl.DataFrame) -> pl.DataFrame:
    """Add class, activity, status and OCSF columns by record type; reads the `~` columns."""
    kind = pl.col("type")
    has = set(frame.columns)

    def own(name: str) -> pl.Expr:
        return pl.col(name) if name in has else pl.lit(None, pl.String)

    launched = kind.is_in(["EXECVE", "USER_CMD"])
    lone_exec = (
        (kind == "SYSCALL") & pl.col("~SYSCALL").str.starts_with("execve") & ~pl.col("starts")
    ).fill_null(value=False)
    is_process = launched | lone_exec
    uid_class = kind.replace_strict({k: v[0] for k, v in CLASSES.items()}, default=0)
    activity = kind.replace_strict({k: v[1] for k, v in CLASSES.items()}, default=0)
    nametype = _file_activity(own("nametype"))
    call = pl.col("~SYSCALL").replace_strict(_SOCKET_CALLS, default=0, return_dtype=pl.Int32)
    result = pl.coalesce(own("res"), pl.col("~success")).str.to_lowercase()
    results = {"success": 1, "yes": 1, "1": 1, "failed": 2, "no": 2, "0": 2}
    path = own("name")
    whole = _whole_path(path)
    uid = pl.coalesce(pl.col("~auid", "~uid").replace(_UNSET, None))
    names = [pl.col(name).replace("unset", None) for name in ("~AUID", "~UID")]
    user = pl.coalesce(*names, pl.when(uid == "0").then(pl.lit("root")))
    account = pl.coalesce(own("acct"), own("ID"))
    by_login = kind.is_in(["USER_AUTH", "USER_LOGIN", "USER_LOGOUT", "USER_START", "USER_END"])
    exe = pl.col("~exe")
    addr = pl.when(~own("addr").is_in(["?", ""])).then(own("addr"))
    command = pl.coalesce(own("cmd"), pl.col("~cmd_line"), pl.col("~proctitle"))
    return frame.with_columns(
        pl.when(lone_exec).then(1007).otherwise(uid_class).alias("class_uid"),
        pl.when(lone_exec)
        .then(1)
        .when(kind == "PATH")
        .then(nametype)
        .when(kind == "SOCKADDR")
        .then(call)
        .otherwise(activity)
        .alias("activity_id"),
        result.replace_strict(results, default=None, return_dtype=pl.Int32).alias("status_id"),
        pl.when(is_process).then(command).alias("process.cmd_line"),
        pl.when(is_process)
        .then(pl.when(kind == "USER_CMD").then(own("cmd").str.extract(r"^(\S+)")).otherwise(exe))
        .alias("process.file.path"),
        pl.when(is_process).then("~cwd").alias("process.working_directory"),
        pl.when(is_process & (kind != "USER_CMD")).then("~pid").alias("process.pid"),
        pl.when(is_process).then("~ppid").alias("process.parent_process.pid"),
        pl.when(~is_process | (kind == "USER_CMD")).then(exe).alias("actor.process.file.path"),
        pl.when(~is_process | (kind == "USER_CMD")).then("~pid").alias("actor.process.pid"),
        user.alias("actor.user.name"),
        uid.alias("actor.user.uid"),
        pl.col("~ses").replace(_UNSET, None).alias("actor.session.uid"),
        pl.when(kind == "PATH").then(whole).alias("file.path"),
        pl.when(kind == "KERN_MODULE").then(path).alias("module.file.path"),
        pl.when(kind == "SOCKADDR").then(own("saddr_ip")).alias("dst_endpoint.ip"),
        pl.when(kind == "SOCKADDR").then(own("saddr_port")).alias("dst_endpoint.port"),
        pl.when(by_login | (uid_class == 3001)).then(account).alias("user.name"),
        pl.when(by_login).then(addr).alias("src_endpoint.ip"),
        pl.when(kind.str.starts_with("SERVICE_")).then(own("unit")).alias("service.name"),
    )
