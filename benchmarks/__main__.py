"""Run every benchmark of the folder, one after the other: `python -m benchmarks [NAME...]`.

What takes an hour or draws pictures runs only when it is named.
"""

import pkgutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
BY_NAME_ONLY: Final = frozenset(
    {"agent_day", "stories", "screens", "console", "on_screen", "pages"}
)


def names() -> list[str]:
    """Give the benchmarks: modules with a `main`, found by folder."""
    found = [m.name for m in pkgutil.iter_modules([str(FOLDER)]) if not m.name.startswith("_")]
    return sorted(n for n in found if "\ndef main(" in (FOLDER / f"{n}.py").read_text("utf-8"))


def main() -> int:
    """Run the benchmarks named, or all short ones; give 1 if one fails."""
    failed = []
    for name in sys.argv[1:] or [n for n in names() if n not in BY_NAME_ONLY]:
        print(f"\n== {name}", flush=True)
        began = time.monotonic()
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False)
        print(f"== {name}: {time.monotonic() - began:.0f} s, exit {done.returncode}", flush=True)
        if done.returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
