"""`inopsio demo`: play the project's own samples, findings on a screen in a minute."""

from pathlib import Path

import cyclopts

from deploy.demo.bad_day import demo
from deploy.output import DONE, FAILED
from deploy.running import settings_for

_FOLDER = Path(".inopsio/demo")


def demo_(*, data: Path | None = None, port: int | None = None, no_wait: bool = False) -> int:
    """Bring up a house of its own, play a small company's bad day in it, stay until Ctrl-C.

    Parameters
    ----------
    data
        data folder of the demo (default .inopsio/demo).
    port
        port of the API and the console (default 8600, on loopback).
    no_wait
        do not stay up until Ctrl-C: stop everything once the story was read.
    """
    return DONE if demo(settings_for(data or _FOLDER, port), stay=not no_wait) else FAILED


def register(app: cyclopts.App) -> None:
    """Add `demo`."""
    app.command(demo_, name="demo")
