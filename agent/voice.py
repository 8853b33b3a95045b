"""Say something to whoever runs the agent: a line on standard error, which the journal keeps."""

import importlib
import sys


def tell(text: str) -> None:
    """Say it."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201  the agent's only voice


def shown(text: str) -> str:
    r"""Make visible what a terminal would obey: a stranger's words are in some lines.

    >>> shown("not reachable: \x1b[2J\n")
    'not reachable: \\x1b[2J\\n'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def trouble(limit: int) -> str:
    """Give where the exception that is being handled came from, so many calls deep."""
    # By name: it is loaded when something goes wrong, which is not every day.
    return str(importlib.import_module("traceback").format_exc(limit=limit))
