"""Read what a publisher announces: which package, for whom, from when; signed, or it is nothing.

An announcement is a JSON object of two texts: `signed`, a JSON object itself, and `signature`, an
Ed25519 signature (base64) of the bytes `inopsio/agent-release`, 0x1f, and `signed`.
"""

import base64
import binascii
import hashlib
import importlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from agent.errors import AgentError

RINGS: Final = ("canary", "early", "all")
"""Who is first, in order: a release for `early` is for canaries too."""
MOST_BYTES: Final = 64 << 20
MOST_ANNOUNCED: Final = 64 << 10
_BEFORE: Final = b"inopsio/agent-release\x1f"
_VERSION: Final = re.compile(r"\d{1,6}(\.\d{1,6}){1,3}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}\.tar\.xz")


class BadRelease(AgentError):
    """What was announced or fetched is not to be installed; the message says why."""


@dataclass(frozen=True, slots=True)
class Release:
    """One version for one system. `serial` rises with every announcement, also of one version."""

    serial: int
    version: str
    ring: str
    percentage: int
    not_before_s: int
    not_after_s: int
    name: str
    sha256: str
    size: int


def read(announced: bytes, public_key: bytes, system: str, now_s: float) -> Release:
    """Give what is announced for a system (`linux-x86_64`); BadRelease for whatever is not good.

    `public_key`: PEM. Nothing of the text is believed before its signature is.
    """
    if len(announced) > MOST_ANNOUNCED:
        raise BadRelease("the announcement is too large")
    try:
        outer = json.loads(announced)
        text, signature = outer["signed"].encode(), base64.b64decode(outer["signature"], None, True)
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise BadRelease("this is no announcement of a release") from None
    _verify(public_key, signature, _BEFORE + text)
    try:
        found = _release(json.loads(text), system)
    except (ValueError, KeyError, TypeError) as wrong:
        raise BadRelease(f"the announcement is signed, but not understood: {wrong!r}") from None
    if not found.not_before_s <= now_s <= found.not_after_s:
        raise BadRelease(f"the announcement of {found.version} does not hold at this time")
    return found


def _verify(public_key: bytes, signature: bytes, signed: bytes) -> None:
    # By name: the library costs ten megabytes, and is needed only when a version is announced.
    try:
        serial = importlib.import_module("cryptography.hazmat.primitives.serialization")
        ed25519 = importlib.import_module("cryptography.hazmat.primitives.asymmetric.ed25519")
        wrong = importlib.import_module("cryptography.exceptions").InvalidSignature
        key = serial.load_pem_public_key(public_key)
    except ImportError as missing:
        raise BadRelease(f"signatures cannot be examined here: {missing}") from missing
    except ValueError:
        raise BadRelease("the key of releases cannot be read") from None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise BadRelease("the key of releases is no Ed25519 key")
    try:
        key.verify(signature, signed)
    except wrong:
        raise BadRelease("the announcement's signature is wrong") from None


def _release(said: Mapping[str, Any], system: str) -> Release:
    package = said["packages"].get(system)
    if package is None:
        raise BadRelease(f"nothing is announced for {system}")
    found = Release(
        _whole(said["serial"]),
        _matching(_VERSION, said["version"]),
        said["ring"],
        _whole(said["percentage"]),
        _whole(said["not_before_s"]),
        _whole(said["not_after_s"]),
        _matching(_NAME, package["name"]),
        _matching(_HASH, package["sha256"]),
        _whole(package["size"]),
    )
    if found.ring not in RINGS or found.percentage > 100 or not 0 < found.size <= MOST_BYTES:
        raise ValueError("ring, percentage or size")
    return found


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no whole number")
    return value


def _matching(pattern: re.Pattern[str], value: object) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{value!r} has not the form {pattern.pattern}")
    return value


def parts(version: str) -> tuple[int, ...]:
    """Give a version in a form that compares.

    >>> parts("0.10.0") > parts("0.9.5"), parts("1.0") == parts("1.0.0")
    (True, True)
    """
    found = [int(part) for part in version.split(".")]
    while found and not found[-1]:
        found.pop()
    return tuple(found)


def is_for(release: Release, ring: str, agent_id: str) -> bool:
    """Answer whether the release is for this agent: by its ring, and by its lot in the last one.

    An agent draws its lot anew for each version: no host is always among the first.
    """
    ours, theirs = RINGS.index(ring), RINGS.index(release.ring)
    if ours != theirs:
        return ours < theirs
    lot = hashlib.sha256(f"{release.version}\x1f{agent_id}".encode()).digest()
    return int.from_bytes(lot[:4]) % 100 < release.percentage
