"""Say which version this is."""

import functools
from pathlib import Path


@functools.cache
def version() -> str:
    """Give the version, as the file beside this one says; its package writes it.

    >>> version()[0].isdigit()
    True
    """
    return Path(__file__).with_name("version.txt").read_text(encoding="ascii").strip()
