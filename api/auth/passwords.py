"""Keep passwords by argon2id; refuse the short and the common ones."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from storage.errors import InvalidInput, Overloaded

SHORTEST: Final = 12
LONGEST: Final = 256
# 64 MiB, 3 passes, 4 lanes (RFC 9106, second recommended option): about 60 ms here.
_HASHER: Final = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=4)
_SLOTS: Final = threading.BoundedSemaphore(4)
"""At most four hashes at once: a storm of sign-ins costs 256 MiB, not all memory."""
MOST_WAITING: Final = 12
"""With those that are hashed: a storm of sign-ins must not hold every thread of the house."""
_QUEUE: Final = threading.BoundedSemaphore(MOST_WAITING)
_NOBODY: Final = (
    "$argon2id$v=19$m=65536,t=3,p=4$vmXKCO+rcOZ1W+cKZRpBBQ$"
    "ULydNDysa9EAjOGp3hfmBgQ5bfN6BfrRUAaPg32HFtE"
)
"""A well-formed hash that no known password has: an unknown user costs the same time."""

_COMMON_TEXT: Final = """
    123456789012 1234567890123 12345678901234 123123123123 111111111111 000000000000
    1q2w3e4r5t6y 1qaz2wsx3edc qwertyuiop12 qwertyuiop123 qwerty123456 qwertyuiopasdf
    asdfghjkl123 zxcvbnm12345 password1234 password12345 password123456 passwordpassword
    passw0rd1234 p@ssw0rd1234 p@ssword1234 changeme1234 changemeplease welcome12345
    welcome123456 letmein12345 letmeinplease administrator administrator1 adminadminadmin
    admin1234567 admin12345678 iloveyou1234 iloveyouforever sunshine1234 princess1234
    football1234 baseball1234 dragon123456 monkey123456 superman1234 michael12345
    trustno1trustno1 correcthorsebatterystaple abcdefghijkl abcdefghijklm abcd12345678
    abc123abc123 aaaaaaaaaaaa secretsecret secret123456 qazwsxedcrfv q1w2e3r4t5y6
    summer202600 winter202600 summer2026!! winter2026!! company12345 default12345
"""
COMMON: Final = frozenset(_COMMON_TEXT.split())


def check_password(password: str, *names: str) -> None:
    """Raise InvalidInput for one too short, too long, common, or made of the given names."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidInput(f"a password has {SHORTEST} to {LONGEST} characters")
    low = password.lower()
    if low in COMMON or len(set(low)) < 5:
        raise InvalidInput("this password is among the first that are guessed; choose another")
    if any(len(n) >= 3 and low.replace(n.lower(), "").strip("0123456789!.-_") == "" for n in names):
        raise InvalidInput("this password is made of the account's own name; choose another")


@contextmanager
def turn() -> Iterator[None]:
    """Wait for a place to hash in; Overloaded when too many wait already."""
    if not _QUEUE.acquire(blocking=False):
        raise Overloaded("too many sign in at once; try again", retry_after_s=1)
    try:
        with _SLOTS:
            yield
    finally:
        _QUEUE.release()


def hash_password(password: str) -> str:
    """Give the argon2id text that is stored (parameters and salt within)."""
    with turn():
        return _HASHER.hash(password)


def verify(stored: str | None, password: str) -> bool:
    """Compare; None or '' (no such user, no password set) takes the same time and is False."""
    with turn():
        try:
            return _HASHER.verify(stored or _NOBODY, password) and bool(stored)
        except (VerificationError, InvalidHashError):
            return False


def is_outdated(stored: str) -> bool:
    """Answer whether the hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(stored)
