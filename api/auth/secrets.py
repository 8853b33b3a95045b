"""Make and take apart the secrets that people and programs carry; only their hashes are kept.

Every kind has its own hash domain, so that a sign-in link never works as a token or a session.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final, Literal

from storage.errors import InvalidInput, NotSignedIn
from storage.tenant import tenant_name

Kind = Literal["session", "token", "link", "enrol"]
_PREFIX: Final[dict[Kind, tuple[str, str]]] = {
    "session": ("", "."),
    "token": ("inop_", "_"),
    "link": ("once_", "_"),
    "enrol": ("enrol_", "_"),
}
LONGEST: Final = 200


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """A secret with its tenant. No repr: it is a secret."""

    kind: Kind
    tenant_id: str
    secret: str

    @property
    def text(self) -> str:
        """Give what the bearer carries."""
        prefix, joint = _PREFIX[self.kind]
        return f"{prefix}{self.tenant_id}{joint}{self.secret}"

    @property
    def digest(self) -> bytes:
        """Give what is stored: 256 random bits need no slow hash."""
        return hashlib.sha256(f"{self.kind}\x1f{self.tenant_id}\x1f{self.secret}".encode()).digest()

    @property
    def csrf(self) -> str:
        """Give the word that proves a write comes from a page that may read our answers."""
        mac = hmac.digest(self.secret.encode(), b"csrf", "sha256")
        return base64.urlsafe_b64encode(mac).decode().rstrip("=")


def new_key(kind: Kind, tenant_id: str) -> Key:
    """Make one with 256 random bits."""
    return Key(kind, tenant_name(tenant_id), secrets.token_urlsafe(32))


def read_key(kind: Kind, text: str) -> Key:
    """Take the text apart; NotSignedIn if it cannot be one of ours."""
    prefix, joint = _PREFIX[kind]
    tenant, found, secret = text[len(prefix) :].partition(joint)
    whole = text.startswith(prefix) and found and secret.isascii() and len(text) <= LONGEST
    if not whole or not secret:
        raise NotSignedIn("this is not a key of this house")
    try:
        return Key(kind, tenant_name(tenant), secret)
    except InvalidInput:
        raise NotSignedIn("this is not a key of this house") from None


def csrf_digest(word: str) -> bytes:
    """Give the stored form of a CSRF word."""
    return hashlib.sha256(f"csrf\x1f{word}".encode(errors="replace")).digest()


def is_same(one: bytes, other: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one, other)
