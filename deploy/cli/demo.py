"""`inopsio demo`: watch a made-up company live, with stories to find in it."""

import shutil
from pathlib import Path

import cyclopts

from deploy.demo.living import HISTORY_D, demo, is_demo
from deploy.output import DONE, FAILED
from deploy.running import running, settings_for
from storage.errors import InvalidInput, Unavailable

_FOLDER = Path(".inopsio/demo")


def demo_(
    *,
    data: Path | None = None,
    port: int | None = None,
    speed: float = 60.0,
    seed: int = 7,
    people: int = 60,
    history: int = HISTORY_D,
    fresh: bool = False,
    no_wait: bool = False,
) -> int:
    """Bring up a house of its own with a company living in it; stay until Ctrl-C.

    Days of history come in at once; then two days pass quickly, with all its stories; then the
    company lives on as the clock on the wall. A second start goes on where the first one ended.

    Parameters
    ----------
    data
        data folder of the demo (default .inopsio/demo).
    port
        port of the API and the console (default 8600, on loopback).
    speed
        how many times faster than the wall's the company's time runs until it has caught up.
    seed
        number from which the company and its stories are drawn; of the first start.
    people
        how many employees it has (20 to 2000); of the first start.
    history
        days of logs that come in at once, with fifteen days of the books each; of the first start.
    fresh
        throw away what an earlier demo left in the data folder, and begin anew.
    no_wait
        do not stay up until Ctrl-C: stop everything once the first story was read.
    """
    if not 1 <= speed <= 1000 or not 20 <= people <= 2000 or not 1 <= history <= 60:
        raise InvalidInput("--speed is 1 to 1000, --people 20 to 2000, --history 1 to 60")
    settings = settings_for(data or _FOLDER, port)
    if fresh and settings.data_dir.exists():
        _throw_away(settings.data_dir, is_up=running(settings) is not None)
    how = {"seed": seed, "people": people, "history_d": history}
    done = demo(settings, stay=not no_wait, speed=speed, **how)
    return DONE if done else FAILED


def _throw_away(folder: Path, *, is_up: bool) -> None:
    if is_up:
        raise Unavailable(f"a house is up in {folder}; stop it first: inopsio down --data {folder}")
    if any(folder.iterdir()) and not is_demo(folder):
        raise InvalidInput(f"{folder} does not hold a demo's data; --fresh leaves it alone")
    shutil.rmtree(folder)


def register(app: cyclopts.App) -> None:
    """Add `demo`."""
    app.command(demo_, name="demo")
