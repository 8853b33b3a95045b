"""Give what the command's words and the settings say together: settings, logs, the spool."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Union

from agent.settings import Settings, config_place, load, logs_of
from agent.spool import Spool
from agent.spool_file import NAME, Damaged

if TYPE_CHECKING:
    import argparse

DONE, FAILED = 0, 1


class Given(NamedTuple):
    """What the words of `run` say, and the others that ship; `only`: one half, else all."""

    data: Path
    only: str | None = None
    idle_s: float = 0.0
    config: Path | None = None
    url: str | None = None
    token_file: Path | None = None
    ca: Path | None = None
    log: tuple[str, ...] = ()


Words = Union[Given, "argparse.Namespace"]


def settings_of(given: Words) -> Settings:
    """Give the settings of the file that the words name, or of the usual one."""
    return load(given.config or config_place(), is_needed=given.config is not None)


def logs_for(given: Words, said: Settings) -> list[tuple[Path, str]]:
    """Give the log files to follow, each with its format."""
    return list(dict.fromkeys((*said.logs, *logs_of(list(given.log)))))


def spool_of(given: Words, said: Settings) -> Spool:
    """Open the spool. One that is damaged, now or later, is set aside and a new one begun."""
    path, most = given.data / NAME, said.spool_mb << 20
    try:
        spool = _looked_through(path, most)
    except Damaged as wrong:
        # By name: it is needed when something went wrong, which is not every day.
        importlib.import_module("agent.spool_mend").mend(wrong)
        spool = Spool(path, most)
    spool.on_damage = _begin_anew
    return spool


def _looked_through(path: Path, most: int) -> Spool:
    spool = Spool(path, most)
    try:
        spool.queue()
    except Damaged:
        spool.close()
        raise
    return spool


def _begin_anew(wrong: Damaged) -> None:
    importlib.import_module("agent.spool_mend").begin_anew_without(wrong)
