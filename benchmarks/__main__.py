"""Run every benchmark of the folder, one after the other: `python -m benchmarks [NAME...]`."""

import pkgutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent


def names() -> list[str]:
    """Give the benchmarks: modules with a `main`, found by folder."""
    found = [m.name for m in pkgutil.iter_modules([str(FOLDER)]) if not m.name.startswith("_")]
    return sorted(n for n in found if "\ndef main(" in (FOLDER / f"{n}.py").read_text("utf-8"))


def main() -> int:
    """Run the benchmarks named, or all; give 1 if one fails."""
    failed = []
    for name in sys.argv[1:] or names():
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
