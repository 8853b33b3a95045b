"""Say something to whoever runs the agent: a line on standard error, which the journal keeps."""

import importlib
import sys


def tell(text: str) -> None:
    """Say it."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201  the agent's only voice


def trouble(limit: int) -> str:
    """Give where the exception that is being handled came from, so many calls deep."""
    # By name: it is loaded when something goes wrong, which is not every day.
    return str(importlib.import_module("traceback").format_exc(limit=limit))
