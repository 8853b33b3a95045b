"""Find out what would stop the house from working here, and say what to do about it."""

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.house import opened
from deploy.running import is_ready, running, url_of
from pipelines.parsers import CONTRACT as PARSER
from storage.errors import InopsioError
from storage.plugins import discover
from storage.settings import Settings

FREE_BYTES: Final = 2 << 30


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: `mend` says what to do where it is not well."""

    what: str
    well: bool
    seen: str
    mend: str = ""


def examine(settings: Settings) -> Iterator[Check]:
    """Look at everything once; never raises."""
    for look in (_python, _folder, _space, _door, _plugins, _ledger):
        yield from _safely(look, settings)


def _safely(look: Callable[[Settings], Check], settings: Settings) -> Iterator[Check]:
    try:
        yield look(settings)
    except (InopsioError, OSError) as error:
        yield Check(look.__name__.strip("_"), well=False, seen=str(error), mend="see the message")


def _python(_settings: Settings) -> Check:
    seen = ".".join(str(n) for n in sys.version_info[:3])
    return Check("python", sys.version_info >= (3, 11), seen, "install Python 3.11 or newer")


def _folder(settings: Settings) -> Check:
    place = settings.data_dir if settings.data_dir.exists() else settings.data_dir.parent
    well = os.access(place, os.W_OK | os.X_OK)
    return Check(
        "data folder", well, str(settings.data_dir), f"make {place} writable for this user"
    )


def _space(settings: Settings) -> Check:
    place: Path = settings.data_dir
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    seen = f"{free / (1 << 30):.1f} GiB free"
    return Check("disk", free > FREE_BYTES, seen, "free at least 2 GiB, or move INOPSIO_DATA_DIR")


def _door(settings: Settings) -> Check:
    if running(settings) is not None:
        return Check("front door", is_ready(settings), url_of(settings), "see logs/api.log")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.http_host, settings.http_port))
        except OSError as taken:
            port = settings.http_port
            return Check("port", well=False, seen=f"{port}: {taken}", mend="use --port N")
    return Check("port", well=True, seen=f"{settings.http_port} is free")


def _plugins(_settings: Settings) -> Check:
    formats = [m.FORMAT for m in discover("pipelines.parsers", PARSER).values()]
    return Check("parsers", well=True, seen=", ".join(sorted(formats)))


def _ledger(settings: Settings) -> Check:
    if running(settings) is None:
        return Check("database", well=True, seen="not up; it starts with inopsio up")
    with opened(settings) as house:
        return Check("database", well=True, seen=f"{len(house.database.tenants())} tenants")
