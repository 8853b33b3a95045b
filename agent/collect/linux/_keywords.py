"""Read a file of keywords and values as sshd(8) reads its own: what is said first counts."""

import glob
import itertools
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

DEEPEST: Final = 16
"""sshd's own bound on files that include each other."""
MOST_FILES: Final = 256
MOST_BYTES: Final = 1 << 20
_LINE: Final = re.compile(r"\s*([^\s=#\"]+)(?:\s*=\s*|\s+|(?=\"))(.*)", re.DOTALL)
_WORD: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|((?:\\.|[^\s"\\])+)')


def keywords(path: Path) -> Iterator[tuple[str, str]]:
    """Give (keyword in small letters, value) of what counts for everybody, in order.

    `Include` is followed where it stands: globs, relative to the file's folder, at most 16 deep and
    256 files. Of `Match` blocks only `Match all` counts. A comment ends a value.
    """
    return _keywords(path, path.parent, 0, itertools.count())


def _keywords(
    path: Path, folder: Path, depth: int, files: Iterator[int]
) -> Iterator[tuple[str, str]]:
    if depth > DEEPEST or next(files) >= MOST_FILES:
        return
    is_for_all = True
    for line in text_of(path).splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        word, words = found[1].lower(), list(_words(found[2]))
        if word == "match":
            is_for_all = [w.lower() for w in words] == ["all"]
        elif is_for_all and word == "include":
            for pattern in words:
                for place in sorted(glob.glob(os.path.join(folder, pattern))):  # noqa: PTH118, PTH207  as sshd joins them
                    yield from _keywords(Path(place), folder, depth + 1, files)
        elif is_for_all:
            yield word, " ".join(words)


def _words(text: str) -> Iterator[str]:
    r"""Split a value as sshd does.

    >>> list(_words('yes # as it was')), list(_words('"a b" c'))
    (['yes'], ['a b', 'c'])
    """
    at = 0
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if at >= len(text) or text[at] == "#":
            return
        word = ""
        while found := _WORD.match(text, at):
            word, at = word + (found[1] or found[2] or ""), found.end()
        if at < len(text) and text[at] in '"\\':
            return  # a quote without end: sshd refuses the line
        yield word


def text_of(path: Path) -> str:
    """Give the text of a regular file, of its beginning if it is long; empty if there is none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return ""
        return file.read(MOST_BYTES).decode("utf-8", "replace")
