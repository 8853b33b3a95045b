"""Write log lines so that a full disk loses lines, not the process that says something."""

import contextlib
from typing import TextIO


class LogLines:
    """Stand before a text file: what cannot be written is counted, and told when it works again."""

    def __init__(self, out: TextIO) -> None:
        """Keep the file."""
        self._out = out
        self._lost = 0

    def write(self, text: str) -> int:
        """Write whole lines, or count them as lost."""
        lost = f"{self._lost} log lines could not be written\n" if self._lost else ""
        try:
            self._out.write(lost + text)
            self._out.flush()
        except OSError:
            self._lost += text.count("\n")
        else:
            self._lost = 0
        return len(text)

    def flush(self) -> None:
        """Flush what is held; what cannot be is counted by the next line."""
        with contextlib.suppress(OSError):
            self._out.flush()
