"""Name where versions of the agent lie, and what the updater and others leave for each other."""

from pathlib import Path
from typing import Final

PLACE: Final = Path("/opt/inopsio-agent")
KEPT: Final = Path("/var/lib/inopsio-agent-update")
ANNOUNCED, PACKAGE, READY, RESULT = "release.json", "package", "ready", "result.json"
INCOMING, STATE, PENDING = "incoming", "state.json", "pending"
"""In `KEPT` while an update goes on: a folder, then a word in a file."""
KEY: Final = "release.pub"
