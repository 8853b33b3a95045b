"""Say how the agent is: what the console calls it, what runs, what waits, what is in force."""

import contextlib
import datetime as dt
import os
import sqlite3
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from agent.deliver import ACCEPTED
from agent.errors import AgentError
from agent.halves import POLICY, is_alive
from agent.health import HEALTH, health
from agent.identity import load
from agent.keep import dropped_lately
from agent.lift import as_owner
from agent.orders import FILE, Orders
from agent.run import agent_id
from agent.spool import Spool
from agent.voice import shown

_UNREADABLE = (AgentError, OSError, sqlite3.Error, ValueError, TypeError)
HALVES: Final = ("look", "ship", "respond")


def standing(data: Path, spool: Spool) -> dict[str, Any]:
    """Give all of it as one row."""
    # What this process uses says nothing: memory and share are what the agent last said of itself.
    now = {k: v for k, v in health(spool, 0.0).items() if k not in {"memory_bytes", "cpu_share"}}
    own = agent_id(spool)
    return {
        "agent_id": own,
        **_enrolled(data),
        "spool_id": own,
        "halves": {half: is_alive(spool, half) for half in HALVES},
        "policy": spool.note(POLICY, {}),
        "in_force": in_force(data),
        **spool.note(HEALTH, {}),
        "accepted": spool.note(ACCEPTED, {}),
        **now,
        "dropped_last_day": dropped_lately(spool, time.time_ns() // 1000),
    }


def _enrolled(data: Path) -> dict[str, Any]:
    try:
        known = load(data)
    except AgentError as wrong:
        return {"not_enrolled": str(wrong)}
    if known is None:
        return {}
    return {
        "agent_id": known.agent_id,
        "tenant_id": known.tenant_id,
        "url": known.url,
        "certificate_ends_us": int(known.not_after_s * 1e6),
    }


def in_force(data: Path) -> list[dict[str, Any]]:
    """Give what is noted as in force on this host, with its end."""
    if not os.path.lexists(data / FILE):
        return []
    try:
        with as_owner(data), contextlib.closing(Orders(data / FILE, mends=False)) as orders:
            noted = orders.noted()
    except _UNREADABLE as wrong:
        return [{"kind": f"it could not be read: {wrong}", "id": "", "until_us": 0}]
    return [{"kind": one.kind, "id": one.id, "until_us": int(one.until_s * 1e6)} for one in noted]


def lines(row: Mapping[str, Any], now_us: int) -> list[str]:
    """Give the row as people read it."""
    policy, accepted = row["policy"], row["accepted"].get("at_us", 0)
    found = {
        "agent": f"{row['agent_id']}, version {row.get('version', 'not run yet')}",
        "tenant": row.get("tenant_id") or row.get("not_enrolled") or "not enrolled",
        "house": row.get("url", ""),
        "certificate": f"ends {_when(row.get('certificate_ends_us', 0), now_us)}",
        "runs": ", ".join(f"{half}: {_runs(is_so)}" for half, is_so in row["halves"].items())
        + " (only while there is something to do)",
        "last word": _when(row.get("at_us", 0), now_us),
        "last accepted": _when(accepted, now_us),
        "events": f"{row['waiting']} wait ({row['spool_bytes']} bytes), {row['sent']} sent, "
        f"{row['dropped_last_day']} dropped in the last day, {row['dropped']} ever",
        "policy": f"version {policy.get('version', 0)}"
        + (f"; {policy['refused']} refused: {policy['reason']}" if policy.get("refused") else ""),
        "in force": "; ".join(
            f"{one['kind']} {one['id']} until {_when(one['until_us'], now_us)}"
            for one in row["in_force"]
        )
        or "nothing",
        "clock": f"the house's is {row['clock_skew_s']:+.1f} s from this one",
        "memory": f"{row.get('memory_bytes', 0) >> 20} MB, {row.get('cpu_share', 0):.1%} of a core",
    }
    if "url" not in row:
        del found["house"], found["certificate"]
    return [f"{name:<14} {shown(str(text))}" for name, text in found.items()]


def _runs(is_so: bool | None) -> str:
    return "not known" if is_so is None else "yes" if is_so else "no"


def _when(at_us: int, now_us: int) -> str:
    """Give a time, and how far it is from now.

    >>> _when(1_795_000_000_000_000, 1_795_000_090_000_000)
    '2026-11-18 10:26:40 UTC (90 s ago)'
    >>> _when(0, 1)
    'never'
    """
    if not at_us:
        return "never"
    text = f"{dt.datetime.fromtimestamp(at_us / 1e6, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
    away_s = (at_us - now_us) / 1e6
    amount = _amount(abs(away_s))
    return f"{text} (in {amount})" if away_s > 0 else f"{text} ({amount} ago)"


def _amount(seconds: float) -> str:
    for size, name in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} s"


def is_for_people() -> bool:
    """Answer whether somebody reads the answer; a program has the row as JSON."""
    return sys.stdout.isatty()
