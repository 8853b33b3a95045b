"""Seal the secrets that the house must be able to use again: AES-256-GCM, bound to their place.

The key comes from the settings, else from a file of this data folder that only its owner reads. A
sealed secret opens for the tenant and the row that it was sealed for, and for no other.
"""

import hashlib
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage.errors import InvalidInput, Unavailable
from storage.settings import Secret, Settings

FILE: Final = "sealing"
_SHORTEST: Final = 16
_NONCE: Final = 12
_MARK: Final = b"1"
"""First byte of what is sealed: the way it was done."""


@dataclass(frozen=True, slots=True)
class Seal:
    """Hold the key; no repr shows it."""

    _key: bytes = field(repr=False)

    @classmethod
    def of(cls, settings: Settings) -> "Seal":
        """Take the key of the settings, else of the data folder, where the first call makes it.

        InvalidInput for a key in the settings that is too short to be one.
        """
        given = settings.sealing_key.reveal()
        if not given:
            return cls(_derived(_kept(settings.data_dir / "keys")))
        if len(given) < _SHORTEST:
            raise InvalidInput(f"INOPSIO_SEALING_KEY has under {_SHORTEST} characters: lengthen it")
        return cls(_derived(given))

    def close(self, secret: Secret, *place: str) -> bytes:
        """Give the secret sealed for its place: tenant, table, row."""
        nonce = secrets.token_bytes(_NONCE)
        shut = AESGCM(self._key).encrypt(nonce, secret.reveal().encode(), _bound(place))
        return _MARK + nonce + shut

    def open(self, shut: bytes, *place: str) -> Secret:
        """Give what was sealed for this place; Unavailable says what to do if it does not open."""
        begin = len(_MARK)
        nonce, rest = shut[begin : begin + _NONCE], shut[begin + _NONCE :]
        try:
            if not shut.startswith(_MARK):
                raise InvalidTag
            return Secret(AESGCM(self._key).decrypt(nonce, rest, _bound(place)).decode())
        except (InvalidTag, ValueError):
            raise Unavailable(
                "the kept secret does not open with this house's key: give the secret anew"
            ) from None


def _bound(place: tuple[str, ...]) -> bytes:
    return "\x1f".join(place).encode()


def _derived(text: str) -> bytes:
    return hashlib.scrypt(text.encode(), salt=b"inopsio/sealing", n=1 << 14, r=8, p=1)[:32]


def _kept(keys: Path) -> str:
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = keys / FILE
    if not place.exists():
        fresh = keys / f"{FILE}.{os.getpid()}"
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(32))
        with fresh.open("rb") as written:
            os.fsync(written.fileno())
        try:
            os.link(fresh, place)  # of two that begin at once, the first one's key counts
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return place.read_text().strip()
