"""Make of what a stranger says something that the ledger can keep: no NUL, no half letters."""

import math
from typing import Final, TypeAlias

DEEPEST: Final = 40
LONGEST_LINE: Final = 4000

Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"


def plain(value: object, deepest: int = DEEPEST) -> Plain:
    r"""Give JSON's own types only; what the ledger cannot hold is written out as text.

    Half letters (`\udcff`, of a file name that is no UTF-8) and NUL become their escapes, what is
    nested deeper than `deepest` a mark, an endless number its name.

    >>> plain({"path": "/a\udcff\x00", "of": [float("inf")]})
    {'path': '/a\\udcff\\x00', 'of': ['inf']}
    >>> plain([[1]], deepest=1)
    ['(too deep)']
    """
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if not isinstance(value, dict | list | tuple):
        return _text(str(value))
    if deepest <= 0:
        return "(too deep)"
    if isinstance(value, dict):
        return {_text(str(k)): plain(v, deepest - 1) for k, v in value.items()}
    return [plain(one, deepest - 1) for one in value]


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def one_line(value: object) -> str:
    r"""Give a text that shows as what it is: controls and what turns its direction are written out.

    >>> one_line("a\nb\u202egpj.exe")
    'a\\nb\\u202egpj.exe'
    """
    text = value if isinstance(value, str) else str(value)
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:LONGEST_LINE]
    )
