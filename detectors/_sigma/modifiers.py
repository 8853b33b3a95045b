"""Mend those of pySigma's modifiers that say less, or other, than the specification does."""

from base64 import b64encode
from typing import Any, Final

from sigma.exceptions import SigmaValueError
from sigma.modifiers import (
    SigmaBase64Modifier,
    SigmaBase64OffsetModifier,
    SigmaModifier,
    SigmaValueModifier,
    SigmaWindowsDashModifier,
)
from sigma.types import SigmaCasedString, SigmaExpansion, SigmaString

_STARTS: Final = (0, 2, 3)
_ENDS: Final = (None, -3, -2)


class Encoded(SigmaString):
    """A text whose characters are the bytes that it was encoded to (Latin-1)."""

    def __bytes__(self) -> bytes:
        """Give the bytes."""
        return "".join(part for part in self.s if isinstance(part, str)).encode("latin-1")


def _bytes(val: SigmaString, source: object) -> bytes:
    """Give what is encoded: the text as it is matched, without its escapes."""
    if val.contains_special() or val.contains_placeholder():
        raise SigmaValueError(
            f"wildcards and placeholders cannot be encoded: '{val}'",
            source=source,  # type: ignore[arg-type]  # a SigmaRuleLocation, if anything
        )
    if isinstance(val, Encoded):
        return bytes(val)
    return "".join(map(str, val.s)).encode()


class _Utf16(SigmaValueModifier[SigmaString, SigmaString]):
    """pySigma's take ASCII alone, and write the byte order mark as UTF-8 does."""

    codec = "utf-16-le"
    mark = b""

    def modify(self, val: SigmaString) -> SigmaString:
        """Encode the parts between wildcards."""
        parts = [
            part.encode(self.codec).decode("latin-1") if isinstance(part, str) else part
            for part in val.s
        ]
        found = Encoded()
        found.s = [self.mark.decode("latin-1"), *parts] if self.mark else parts
        return found._merge_strs()


class _Utf16BigEndian(_Utf16):
    codec = "utf-16-be"


class _Utf16Marked(_Utf16):
    mark = b"\xff\xfe"


class _Base64(SigmaBase64Modifier):
    """pySigma's encodes a placeholder's name."""

    def modify(self, val: SigmaString) -> SigmaString:
        """Encode the value."""
        return SigmaString(b64encode(_bytes(val, self.source)).decode())


class _Base64Offset(SigmaBase64OffsetModifier):
    """pySigma's counts characters where bytes decide what part of the code stands still."""

    def modify(self, val: SigmaString) -> SigmaExpansion:
        """Give the part that does not hang on what stands around, for each of three places."""
        whole = _bytes(val, self.source)
        codes = [
            b64encode(b" " * n + whole)[_STARTS[n] : _ENDS[(len(whole) + n) % 3]].decode()
            for n in range(3)
        ]
        # Of a single byte nothing stands still at one of the places; '' would be found everywhere.
        return SigmaExpansion([SigmaString(code) for code in codes if code])


class _WindowsDash(SigmaWindowsDashModifier):
    """pySigma's forgets `cased`."""

    def modify(self, val: SigmaString) -> SigmaExpansion:
        """Give the value with each dash that Windows takes."""
        found = super().modify(val)
        if isinstance(val, SigmaCasedString):
            texts = [v for v in found.values if isinstance(v, SigmaString)]
            return SigmaExpansion([SigmaCasedString.from_sigma_string(v) for v in texts])
        return found


MODIFIERS: Final[dict[str, type[SigmaModifier[Any, Any]]]] = {
    "utf16le": _Utf16,
    "wide": _Utf16,
    "utf16be": _Utf16BigEndian,
    "utf16": _Utf16Marked,
    "base64": _Base64,
    "base64offset": _Base64Offset,
    "windash": _WindowsDash,
}
"""By the name that a rule gives them; pySigma knows no `utf16le`."""
