"""`inopsio down`: stop the running house."""

from pathlib import Path

import cyclopts

from deploy.output import DONE, say
from deploy.running import down, settings_for


def down_(*, data: Path | None = None) -> int:
    """Stop the running house of this data folder; nothing that was accepted is lost."""
    settings = settings_for(data)
    say("stopped" if down(settings) else f"nothing is up in {settings.data_dir}")
    return DONE


def register(app: cyclopts.App) -> None:
    """Add `down`."""
    app.command(down_, name="down")
