"""Write what the company's planning says: what was announced, and which contracts it has."""

from typing import Any

from deploy.demo.rows import HOUR, Mark, Row, line
from deploy.demo.windows import iso


def _fact(time_us: int, class_uid: int, account: str, more: dict[str, Any]) -> dict[str, Any]:
    return {
        "time": time_us // 1000,
        "class_uid": class_uid,
        "activity_id": 1,
        "severity_id": 1,
        "metadata": {"product": {"name": "planner"}},
        "actor": {"user": {"name": account}},
        **more,
    }


def announced(
    time_us: int,
    by: str,
    kind: str,
    uid: str,
    subject: str,
    hours: tuple[float, float],
    who: str = "",
    mark: Mark | None = None,
) -> Row:
    """Say that somebody announced something; `hours`: from and to, after the announcement."""
    more: dict[str, Any] = {
        "document": {"type": kind, "uid": uid},
        "subject": subject,
        "starts_at": iso(time_us + int(hours[0] * HOUR)),
        "ends_at": iso(time_us + int(hours[1] * HOUR)),
    }
    if who:
        more["user"] = {"name": who}
    return line(time_us, "plans", _fact(time_us, 999022, by, more), mark)


def contract(time_us: int, by: str, uid: str, partner: str, domains: str) -> Row:
    """Say that the company has a contract with the owner of these domains."""
    more = {
        "document": {"type": "contract", "uid": uid},
        "vendor": {"name": partner},
        "domains": domains,
    }
    return line(time_us, "plans", _fact(time_us, 999006, by, more))
