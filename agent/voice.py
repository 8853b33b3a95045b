"""Say something to whoever runs the agent: a line on standard error, which the journal keeps."""

import sys


def tell(text: str) -> None:
    """Say it."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201  the agent's only voice
