"""Print what a command has to say: rows to standard output, words to standard error."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

import orjson

DONE: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2
PARTLY: Final = 3
"""Done, but some input was refused; each refusal was named with file, place and reason."""

_HAND_OVER_BYTES: Final = 1 << 20
_Item = TypeVar("_Item")


def emit(row: Mapping[str, object]) -> None:
    """Print one JSON object on one line of standard output."""
    sys.stdout.buffer.write(orjson.dumps(row, default=str, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


def emit_all(rows: Iterable[Mapping[str, object]]) -> None:
    """Print JSON objects, one a line, and hand them over together."""
    lines = bytearray()  # not a list: each line that is kept would keep its first, larger room
    for row in rows:
        lines += orjson.dumps(row, default=str, option=orjson.OPT_APPEND_NEWLINE)
        if len(lines) > _HAND_OVER_BYTES:
            sys.stdout.buffer.write(lines)
            lines = bytearray()
    sys.stdout.buffer.write(lines)
    sys.stdout.buffer.flush()


def say(text: str) -> None:
    """Print a line for people on standard error, with control characters made visible."""
    print(visible(text), file=sys.stderr, flush=True)  # noqa: T201  this is the one place


def show(text: str) -> None:
    """Print a line of a result for people on standard output, control characters made visible."""
    print(visible(text), flush=True)  # noqa: T201  this is the one place


def visible(text: str) -> str:
    r"""Show control characters as escapes: log text must not steer anybody's terminal.

    >>> visible("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text
    )


def table(rows: Sequence[Mapping[str, object]], columns: Sequence[str], widest: int = 60) -> None:
    """Print rows as an aligned table on standard output; a cell is cut at `widest` letters."""
    cells = [[_cell(row.get(c), widest) for c in columns] for row in rows]
    widths = [max([len(c), *(len(line[i]) for line in cells)]) for i, c in enumerate(columns)]
    show("  ".join(c.ljust(w) for c, w in zip(columns, widths, strict=True)).rstrip())
    for line in cells:
        show("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip())


def _cell(value: object, widest: int) -> str:
    text = "" if value is None else str(value).replace("\n", " ").replace("\t", " ")
    return text if len(text) <= widest else text[: widest - 1] + "…"


def progress(items: Iterable[_Item], total: int, what: str) -> Iterator[_Item]:
    """Pass the items on; on a terminal show how many were taken. `total` 0: not known."""
    try:
        for done, item in enumerate(items):
            width = 30 * min(done, total) // max(total, 1)
            bar = ("█" * width).ljust(30, "░") if total else ""
            note(f"{bar} {done}/{total or '?'} {what}")
            yield item
    finally:
        note("")


def note(text: str) -> None:
    """Show a passing line on standard error if that is a terminal; the next one takes its place."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{visible(text)[:78]}\x1b[K")
        sys.stderr.flush()
