"""Write what the service says through which the company sends its newsletters."""

from typing import Any, Final

from deploy.demo.rows import Mark, Row, line

SERVICE: Final = "svc.newsletter"
KEY: Final = "k-2f0c71"
"""The key with which the company's own program sends."""
SITE: Final = "https://www.meridian.example/offers"


def _said(
    time_us: int, class_uid: int, account: str, ip: str, key: str, more: dict[str, Any]
) -> dict[str, Any]:
    actor: dict[str, Any] = {"user": {"name": account}}
    if key:
        actor["session"] = {"credential_uid": key}
    return {
        "time": time_us // 1000,
        "class_uid": class_uid,
        "activity_id": 1,
        "severity_id": 1,
        "metadata": {"product": {"name": "mailer"}},
        "actor": actor,
        "src_endpoint": {"ip": ip},
        **more,
    }


def key_made(time_us: int, account: str, ip: str, key: str, mark: Mark | None = None) -> Row:
    """Say that somebody made a key."""
    entity = {"entity": {"type": "API Key", "uid": key, "name": "integration"}}
    return line(time_us, "esp", _said(time_us, 3004, account, ip, "", entity), mark)


def template_made(
    time_us: int, account: str, ip: str, key: str, template: str, url: str, mark: Mark | None = None
) -> Row:
    """Say that a template was made, with the link in it."""
    more = {"entity": {"type": "Mail Template", "uid": template}, "urls": [url]}
    return line(time_us, "esp", _said(time_us, 3004, account, ip, key, more), mark)


def sent(
    time_us: int,
    account: str,
    ip: str,
    key: str,
    template: str,
    campaign: str,
    mails: int,
    url: str = "",
    mark: Mark | None = None,
) -> Row:
    """Say that so many mails of a template went out."""
    more: dict[str, Any] = {
        "email": {"from": "news@meridian.example"},
        "template_uid": template,
        "campaign_uid": campaign,
        "record_count": mails,
    }
    if url:
        more["urls"] = [url]
    return line(time_us, "esp", _said(time_us, 4009, account, ip, key, more), mark)
