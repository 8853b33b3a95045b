"""Turn a rule's regular expression into one the linear-time engine accepts, or refuse it."""

import functools
import itertools
import re
from typing import Final

import polars as pl
from polars.exceptions import PolarsError

from storage.errors import InvalidRule

MAX_PATTERN: Final = 8192
"""Longest regular expression, characters."""
MAX_WEIGHT: Final = 100_000
"""Most states of all regular expressions of a rule, about: they take 0.1 s of CPU to build."""

_PIECE: Final = re.compile(
    r"\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|.)"  # an escape
    r"|\[\^?\]?(?:\\.|[^\\\]])*\]"  # a class
    r"|\{\d*(?:,\d*)?\}\??"  # a counted repeat
    r"|\(\?[^)]{0,40}?[:)>=!]|\(\?P?<[A-Za-z_]\w*>"  # a group with an extension
    r"|.",
    re.DOTALL,
)
_REPEAT: Final = re.compile(r"[*+?]|\{.*\}")
_TIMES: Final = re.compile(r"\{(\d*)(?:,(\d*))?\}\??")
_WORD_STATES: Final = 400
"""Letters of all scripts."""
_CLASS_STATES: Final = 8
_OPTIONAL: Final = re.compile(r"[*?]|\{0?,")


def translate(pattern: str, flags: str) -> str:
    r"""Give the Rust spelling of a Python pattern with the flags (of `i`, `m`, `s`).

    InvalidRule if the linear-time engine cannot do it (look-around, back-reference, possessive
    repeat) or it is larger than 8,192 characters. A search with it finds what `re.search` finds.

    >>> translate("a{b$", "i")
    '(?i)a\\{b(?:\\n?\\z)'
    """
    if len(pattern) > MAX_PATTERN:
        raise InvalidRule(f"regular expression is longer than {MAX_PATTERN} characters")
    pieces = _PIECE.findall(pattern)
    if any(piece == "+" and _REPEAT.fullmatch(last) for last, piece in itertools.pairwise(pieces)):
        # Rust would read a++ as (a+)+, which gives back what it took.
        raise InvalidRule(f"regular expression '{_short(pattern)}' cannot run: possessive repeat")
    out = "".join(_rust(t, "m" in flags) for t in pieces)
    text = f"(?{''.join(sorted(flags))}){out}" if flags else out
    _check(text, pattern)
    return text


def weight(pattern: str) -> int:
    r"""Give about how many states the engine makes of a pattern: what its building and use cost.

    >>> weight(r"a{3}(b|\d){2}")
    21
    """
    sums, last = [0], 0
    for piece in _PIECE.findall(pattern):
        if piece[0] == "(" and not piece.endswith(")"):
            sums.append(0)
            continue
        if piece == ")" and len(sums) > 1:
            last = sums.pop()
            sums[-1] += last
            continue
        times = _TIMES.fullmatch(piece)
        if times:
            most = int(times[2] or times[1] or 0)
            sums[-1] += last * (most - 1) if most else 0
            last *= most or 1
            continue
        last = 0 if piece in ("|", "*", "+", "?", "^", "$") else _of_one(piece)
        sums[-1] += last
    return sum(sums)


def _of_one(piece: str) -> int:
    if re.search(r"\\[wWbB]", piece):
        return _WORD_STATES
    return _CLASS_STATES if piece[0] in "[." or piece[1:] in {"d", "D", "s", "S"} else 1


def _rust(piece: str, multiline: bool) -> str:
    if piece == "$" and not multiline:
        return r"(?:\n?\z)"  # Python's $ also stands before a last newline
    if piece == "{":
        return r"\{"
    if piece == r"\Z":
        return r"\z"
    if piece in (r"\<", r"\>"):  # word edges in Rust, plain letters in Python
        return piece[1:]
    if piece.startswith("{,"):
        return "{0" + piece[1:] if piece[2:3].isdigit() else r"\{" + piece[1:]
    if piece[0] == "[" and len(piece) > 1:
        return _class(piece)
    return piece


def _class(piece: str) -> str:
    head = 2 if piece[1] == "^" else 1
    body = piece[head:-1]
    first = ""
    if body.startswith("]"):
        first, body = r"\]", body[1:]
    body = re.sub(r"\\.|\[", lambda m: r"\[" if m.group() == "[" else m.group(), body)
    for doubled in ("&&", "--", "~~"):  # set operations in Rust, plain letters in Python
        body = body.replace(doubled, doubled[0] + "\\" + doubled[0])
    return piece[:head] + first + body + "]"


@functools.lru_cache(maxsize=4096)
def _check(text: str, shown: str) -> None:
    try:
        pl.Series([""]).str.contains(text, strict=True)
    except PolarsError as wrong:
        lines = [line for line in str(wrong).splitlines() if line.startswith("error: ")]
        is_large = "size limit" in str(wrong)
        why = "it is too large" if is_large else "the engine refuses it"
        why = lines[0].removeprefix("error: ") if lines else why
        raise InvalidRule(f"regular expression '{_short(shown)}' cannot run: {why}") from wrong


def _short(pattern: str) -> str:
    return pattern if len(pattern) <= 80 else pattern[:79] + "…"


def needle(pattern: str) -> str:
    r"""Give the longest lower-case ASCII text that every match holds, '' if none is sure.

    >>> needle(r"foo\.Bar[0-9]+qux?")
    'foo.bar'
    """
    best = run = ""
    depth = 0
    pieces = _PIECE.findall(pattern)
    for piece, after in zip(pieces, [*pieces[1:], ""][: len(pieces)], strict=True):
        if piece == "|" and depth == 0:
            return ""
        letter = _letter(piece)
        if depth == 0 and letter and not _OPTIONAL.match(after):
            run += letter
            best = max(best, run, key=len)
            if after[:1] in ("+", "{"):
                run = ""
            continue
        run = ""
        depth += _opens(piece) - (piece == ")")
    return best.lower()


def _opens(piece: str) -> int:
    return int(piece[0] == "(" and not piece.endswith(")"))


def _letter(piece: str) -> str:
    if len(piece) == 2 and piece[0] == "\\" and not piece[1].isalnum() and piece.isascii():
        return piece[1]
    if len(piece) == 1 and piece.isascii() and piece not in "\\^$.|?*+()[]{}":
        return piece
    return ""
