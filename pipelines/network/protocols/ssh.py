"""Read what the ends of SSH say first of themselves (RFC 4253, 4.2)."""

from typing import Final

LONGEST: Final = 256


def banner_in(data: bytes) -> str | None:
    r"""Give the line, None while its end has not come, '' if it is too long to be one.

    >>> banner_in(b"SSH-2.0-OpenSSH_9.2\r\nrest"), banner_in(b"SSH-2.0-Op")
    ('SSH-2.0-OpenSSH_9.2', None)
    """
    end = data.find(b"\n", 0, LONGEST)
    if end < 0:
        return None if len(data) < LONGEST else ""
    return data[:end].rstrip(b"\r").decode("utf-8", "replace")
