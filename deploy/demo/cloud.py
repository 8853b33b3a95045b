"""Write what the cloud services say: sign-ins, mail gateway, mailboxes, and the register of HR."""

from typing import Any, Final

from deploy.demo.company import Person
from deploy.demo.rows import Mark, Row, line

SIGNED_IN: Final = 1
SIGN_IN_FAILED: Final = 2


def _ocsf(time_us: int, class_uid: int, activity: int, product: str) -> dict[str, Any]:
    return {
        "time": time_us // 1000,
        "class_uid": class_uid,
        "activity_id": activity,
        "metadata": {"product": {"name": product}},
    }


def sign_in(
    time_us: int,
    mail: str,
    ip: str,
    device: str,
    country: str,
    *,
    good: bool = True,
    admin: bool = False,
    detail: str = "invalid credentials",
    mark: Mark | None = None,
) -> Row:
    """Say a sign-in to the cloud services; `admin`: the account may administer them."""
    user = {"name": mail, "type_id": 2} if admin else {"name": mail}
    record = _ocsf(time_us, 3002, 1, "idp") | {
        "severity_id": 1 if good else 2,
        "status_id": SIGNED_IN if good else SIGN_IN_FAILED,
        "user": user,
        "src_endpoint": {"ip": ip},
        "device": {"uid": device},
        "location": {"country": country},
    }
    if not good:
        record["status_detail"] = detail
    return line(time_us, "idp", record, mark)


def factor_added(
    time_us: int, mail: str, ip: str, device: str, country: str, mark: Mark | None = None
) -> Row:
    """Say that a second factor was enrolled for an account."""
    return line(
        time_us,
        "idp",
        _ocsf(time_us, 3001, 7, "idp")
        | {
            "severity_id": 1,
            "status_id": 1,
            "api": {"operation": "mfa.enroll"},
            "user": {"name": mail},
            "actor": {"user": {"name": mail}},
            "src_endpoint": {"ip": ip},
            "device": {"uid": device},
            "location": {"country": country},
        },
        mark,
    )


def received(
    time_us: int,
    sender: str,
    to: str,
    subject: str,
    *,
    dmarc: bool = True,
    attachments: str = "",
    mark: Mark | None = None,
) -> Row:
    """Say that the gateway took in a mail."""
    record = _ocsf(time_us, 4009, 2, "mailgate") | {
        "severity_id": 1,
        "email": {"from": sender, "to": to, "subject": subject},
        "dmarc": "pass" if dmarc else "fail",
    }
    if attachments:
        record["attachments"] = attachments
    return line(time_us, "mail", record, mark)


def mailbox(
    time_us: int,
    mail: str,
    operation: str,
    ip: str,
    device: str,
    parameters: str = "",
    mark: Mark | None = None,
) -> Row:
    """Say what was done in a mailbox (New-InboxRule, Send, ...)."""
    record = _ocsf(time_us, 6003, 1, "mailbox") | {
        "severity_id": 1,
        "status_id": 1,
        "api": {"operation": operation, "service": {"name": "mailbox"}},
        "actor": {"user": {"name": mail}},
        "src_endpoint": {"ip": ip},
        "device": {"uid": device},
    }
    if parameters:
        record["parameters"] = parameters
    return line(time_us, "mailbox", record, mark)


def person(time_us: int, who: Person, activity: int, mark: Mark | None = None, **more: str) -> Row:
    """Say what HR keeps of a person: 1 entered, 3 changed, 5 gave notice, 6 left."""
    return line(
        time_us,
        "hr",
        _ocsf(time_us, 999005, activity, "hr")
        | {
            "severity_id": 1,
            "person": {
                "uid": who.uid,
                "name": who.name,
                "bank_account": more.pop("bank_account", who.iban),
            },
            "user": {"name": who.account},
            "private_mail": who.private_mail,
            "department": who.department,
            **more,
        },
        mark,
    )
