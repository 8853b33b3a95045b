"""Start the command. What a unit asks for is started without all that reads words for people."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from agent.errors import AgentError
from agent.given import FAILED, Given
from agent.voice import tell

_UNITS: Final = ("look", "ship", "respond")


def main() -> None:
    """Run one command; 0 done, 1 failed, 2 wrong use."""
    sys.exit(begun(sys.argv[1:]))


def begun(words: list[str]) -> int:
    """Run the command that the words name; give the exit code."""
    given = of_unit(words)
    if given is None:
        return int(importlib.import_module("agent.cli").command(words))
    return guarded(importlib.import_module("agent.running").run_halves, given)


def guarded(act: Callable[[Any], int], given: Any) -> int:  # noqa: ANN401  words
    """Do it; what goes wrong is told in a line."""
    try:
        return int(act(given))
    except AgentError as wrong:
        tell(f"inopsio-agent: {wrong}")
        return FAILED
    except Exception as unforeseen:  # noqa: BLE001  the command's last line
        tell(f"inopsio-agent: unforeseen {type(unforeseen).__name__}: {unforeseen}")
        return FAILED


def of_unit(words: list[str]) -> Given | None:
    """Give what a unit's words say, None if they are others.

    >>> of_unit(["--data", "/d", "run", "--only", "look"]).only
    'look'
    >>> of_unit(["--data", "/d", "run", "--only", "respond", "--idle-s", "60"]).idle_s
    60.0
    >>> of_unit(["--data", "/d", "run"])
    """
    match words:
        case ["--data", data, "run", "--only", half, *more] if half in _UNITS:
            pass
        case _:
            return None
    match more:
        case []:
            return Given(Path(data), half)
        case ["--idle-s", number] if number.isdigit():
            return Given(Path(data), half, float(number))
        case _:
            return None
