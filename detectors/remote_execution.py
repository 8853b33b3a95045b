"""Signal a network sign-in and a command run by it on the machine signed in to, minutes later.

Administrators do this daily, hence a signal: it ties the machine that asked to the one that ran.
"""

from typing import Any, Final

import polars as pl

from detectors._columns import account, claim, filled, newest, pairs, time_us
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State

SOON_US: Final = 10 * 60 * 1_000_000
"""How long after a sign-in a command is taken for its doing."""
LINGER_US: Final = 6 * 3600 * 1_000_000
REMEMBERED: Final = 64
"""Sign-ins kept of one machine."""
NAMED: Final = 3
"""Sign-ins told as possible ones: the rarest route first."""

META: Final = DetectorMeta(
    name="remote_execution",
    version="1",
    title="Command run over the network after a sign-in",
    classes=frozenset({1007, 3002, 201004}),
    tables={
        "came": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "ip": pl.String(),
            "user": pl.String(),
            "event_id": pl.String(),
            "time_us": pl.Int64(),
            "known": pl.Int64(),
        },
        "routes": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "times": pl.Int64(),
            "last_us": pl.Int64(),
        },
    },
    max_keys=50_000,
    bytes_per_key=REMEMBERED * 120,
)

_OWN: Final = ["tenant_id", "key"]
_SHELLS: Final = r"\\(?:cmd|powershell|pwsh|wscript|cscript|mshta|rundll32|regsvr32)\.exe$"
_PARENTS: Final = r"\\(?:wmiprvse|psexesvc|winrshost|wsmprovhost|mmc)\.exe$"
_ODD: Final = (
    r"(?:%comspec%|cmd(?:\.exe)?\"?\s+/[a-z]|powershell|\\\\127\.0\.0\.1\\|\\temp\\|\\users\\public\\"
    r"|\\programdata\\|psexesvc|\\admin\$|mshta|rundll32|^(?:%systemroot%|c:\\windows)\\[a-z0-9]{4,12}\.exe)"
)


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Remember who signed in to which machine; claim what then runs there."""
    if "device.hostname" not in batch.frame.columns:
        return state, []
    frame = _facts(batch.frame)
    signed = _sign_ins(frame, state["routes"])
    ran = _runs(frame)
    before = state["came"].with_columns(row=pl.lit(-1, pl.Int64()))
    came = pl.concat([before, signed.select(before.columns)])
    hits = (
        ran.join(came.rename({"event_id": "sign_in", "time_us": "came_us", "row": "at"}), on=_OWN)
        .filter(
            (pl.col("at") < pl.col("row"))
            & (pl.col("time_us") - pl.col("came_us")).is_between(0, SOON_US)
        )
        .sort(["row", "known", "came_us", "sign_in"], descending=[False, False, True, False])
        .group_by("row", maintain_order=True)
        .agg(pl.all().head(NAMED))
    )
    after = {"came": _kept(came, context.watermark_us), "routes": _routes(signed, state["routes"])}
    same = {n: state[n] if after[n].equals(state[n]) else after[n] for n in after}
    return same, [_claim(row) for row in hits.iter_rows(named=True)]


def _facts(frame: pl.DataFrame) -> pl.DataFrame:
    frame = filled(
        frame,
        *("status_id", "logon_type_id", "user.name", "src_endpoint.ip", "device.ip"),
        *("metadata.event_code", "unmapped.ImagePath", "service.name", "process.cmd_line"),
        *("process.file.path", "process.parent_process.file.path"),
    )
    return frame.with_columns(
        row=pl.int_range(pl.len(), dtype=pl.Int64),
        key=pl.col("device.hostname").str.to_lowercase().str.slice(0, 255),
        time_us=time_us(),
        ip=pl.col("src_endpoint.ip").str.to_lowercase().str.slice(0, 64),
        user=account("user.name"),
    )


def _sign_ins(frame: pl.DataFrame, routes: pl.DataFrame) -> pl.DataFrame:
    """Give network sign-ins from other machines; `known`: how often this way was gone before."""
    rows = frame.filter(
        (pl.col("class_uid") == 3002)
        & (pl.col("activity_id") == 1)
        & (pl.col("status_id") == 1)
        & (pl.col("logon_type_id") == 3)
        & pl.col("ip").is_not_null()
        & pl.col("user").is_not_null()
        & ~pl.col("user").str.ends_with("$")
        & ~pl.col("ip").str.contains(r"^(?:-?$|127\.|::1$|fe80:)")
        & pl.col("ip").ne_missing(pl.col("device.ip"))
    ).select("tenant_id", "key", "ip", "user", "event_id", "time_us", "row")
    way = pl.concat_str("key", "ip", "user", separator="\x1f")
    return (
        rows.with_columns(way=way)
        .join(
            routes.select("tenant_id", "times", way="key"),
            on=["tenant_id", "way"],
            how="left",
            maintain_order="left",
        )
        .with_columns(
            known=pl.col("times").fill_null(0) + pl.int_range(pl.len()).over("tenant_id", "way")
        )
    )


def _runs(frame: pl.DataFrame) -> pl.DataFrame:
    """Give services installed with an odd command, and shells started by remote hands."""
    path = pl.col("unmapped.ImagePath").str.to_lowercase()
    service = (pl.col("metadata.event_code") == "7045") & path.str.contains(_ODD)
    child = pl.col("process.file.path").str.to_lowercase().str.contains(_SHELLS)
    parent = pl.col("process.parent_process.file.path").str.to_lowercase()
    shell = (
        (pl.col("class_uid") == 1007)
        & (pl.col("activity_id") == 1)
        & child
        & parent.str.contains(_PARENTS)
    )
    return frame.filter((service | shell).fill_null(value=False)).select(
        *("tenant_id", "key", "row", "time_us"),
        ran_event="event_id",
        what=pl.coalesce("process.cmd_line", "unmapped.ImagePath", "service.name"),
        here="device.ip",
    )


def _kept(came: pl.DataFrame, watermark_us: int) -> pl.DataFrame:
    fresh = came.drop("row").filter(pl.col("time_us") + LINGER_US > watermark_us)
    few = fresh.sort([*_OWN, "time_us", "event_id"], descending=[False, False, True, False])
    few = few.filter(pl.int_range(pl.len()).over(_OWN) < REMEMBERED)
    return newest(few, "time_us", META.max_keys).sort([*_OWN, "time_us", "event_id"])


def _routes(signed: pl.DataFrame, routes: pl.DataFrame) -> pl.DataFrame:
    if signed.is_empty():
        return routes
    fresh = signed.group_by("tenant_id", key="way").agg(
        times=pl.len().cast(pl.Int64), last_us=pl.col("time_us").max()
    )
    merged = (
        pl.concat([routes, fresh.select(routes.columns)])
        .group_by(_OWN)
        .agg(pl.col("times").sum(), pl.col("last_us").max())
    )
    return newest(merged, "last_us", META.max_keys).sort(_OWN)


def _claim(row: dict[str, Any]) -> Finding:
    host, ip, user = row["key"][0], row["ip"][0], row["user"][0]
    known = int(row["known"][0])
    event = row["ran_event"][0]
    usual = "a way gone before" if known else "never before by this account from there"
    return claim(
        META,
        META.name,
        row["tenant_id"][0],
        event,
        title=f"{user} signed in to {host} from {ip}, and a command was run there",
        level="low",
        kind="signal",
        time_us=int(row["time_us"][0]),
        entity_type="host",
        entity=host,
        event_ids=(*row["sign_in"], event),
        event_count=1 + len(row["sign_in"]),
        reasons=(
            Reason("signed in by network", f"{user} from {ip}", f"{usual} ({known} times)"),
            Reason("then run", str(row["what"][0])[:500], "nothing, on most machines"),
        ),
        attack=("T1021", "T1569"),
        links=pairs(("ip", ip), ("user", user), ("ip", row["here"][0])),
        fields=pairs(("device.hostname", host), ("src_endpoint.ip", ip), ("user.name", user)),
    )
