"""Name one entity one way, whatever a source calls it, so that what belongs together meets."""

from typing import Final

JOINING: Final = frozenset(
    {"host", "user", "ip", "vendor", "document", "customer", "device", "domain", "item"}
)
"""Entity types by which findings are told to be of one story; a program's path is not."""

_PEOPLE: Final = frozenset({"user", "mailbox", "person"})
_EVERYBODY: Final = frozenset(
    {
        *("", "-", "system", "local service", "network service", "anonymous logon", "root"),
        *("administrator", "nobody", "n/a", "unknown", "localhost", "0.0.0.0", "::", "::1"),  # noqa: S104  names, no bind
    }
)


def canonical(kind: str, name: str) -> tuple[str, str]:
    r"""Give the entity's own type and name: small letters, a host without its domain, a person
    without the directory or mail domain.

    >>> canonical("user", "CORP\\Ann.Lee"), canonical("mailbox", "ann.lee@corp.example")
    (('user', 'ann.lee'), ('user', 'ann.lee'))
    >>> canonical("host", "WS-17.corp.example"), canonical("vendor", "V-9")
    (('host', 'ws-17'), ('vendor', 'V-9'))
    """
    text = name.strip()
    if kind in _PEOPLE:
        return "user", text.rpartition("\\")[2].partition("@")[0].lower()
    if kind == "host":
        is_address = text.replace(".", "").isdigit() or ":" in text
        return ("ip", text.lower()) if is_address else (kind, text.partition(".")[0].lower())
    if kind in {"ip", "domain", "hash", "file", "process"}:
        return kind, text.lower()
    return kind, text


def is_joining(kind: str, name: str) -> bool:
    """Answer whether two findings that share this (canonical) entity may be of one story.

    Not by what everybody shares: SYSTEM, a computer's own account, loopback.

    >>> is_joining("user", "ann.lee"), is_joining("user", "ws-17$")
    (True, False)
    """
    if kind not in JOINING or name in _EVERYBODY or name.startswith(("127.", "169.254.")):
        return False
    return not (kind == "user" and name.endswith("$"))
