"""Find out what would stop the house from working here, and say what to do about it."""

import contextlib
import http.client
import os
import shutil
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from deploy.house import opened
from deploy.process import names
from deploy.running import (
    absent_rules,
    agents_url_of,
    are_agents_heard,
    check_port,
    is_alive,
    is_ready,
    running,
)
from pipelines.parsers import CONTRACT as PARSER
from storage.errors import InopsioError, Unavailable
from storage.plugins import discover
from storage.restarts import in_words, restarting
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
    for look in (_python, _folder, _space, _door, _agents, _processes, _plugins, _rules, _ledger):
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
    place = settings.data_dir
    while not place.exists():
        place = place.parent
    well = place.is_dir() and os.access(place, os.W_OK | os.X_OK)
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
    house = running(settings)
    if house is not None:
        log = settings.data_dir / "logs" / "api.log"
        return Check("front door", is_ready(settings), house.url, f"see {log}")
    try:
        check_port(settings)
    except Unavailable as taken:
        return Check("port", well=False, seen=str(taken), mend="use --port N")
    return Check("port", well=True, seen=f"{settings.http_port} is free")


def _agents(settings: Settings) -> Check:
    place = agents_url_of(settings)
    if not place or running(settings) is None:
        return Check("agents' listener", well=True, seen=place or "off")
    log = settings.data_dir / "logs" / "api.log"
    # Its authority is the house's own, which this program does not look up: it asks who answers.
    anybody = ssl.create_default_context()
    anybody.check_hostname = False
    anybody.verify_mode = ssl.CERT_NONE
    are_agents_heard(settings)
    parts = urlsplit(place)
    host = parts.hostname or ""
    door = http.client.HTTPSConnection(host, parts.port, timeout=5, context=anybody)
    with contextlib.closing(door):
        door.request("GET", "/v1/agents/authority")
        well = door.getresponse().status == http.HTTPStatus.OK
    return Check("agents' listener", well, place, f"see {log}; another program may have the port")


def _processes(settings: Settings) -> Check:
    house = running(settings)
    if house is None:
        return Check("processes", well=True, seen="not up; start with inopsio up")
    dead = sorted(set(names()) - {n for n, pid in house.children.items() if is_alive(pid)})
    again = restarting(settings.data_dir, time.time())
    seen = f"{', '.join(dead)} not alive" if dead else ", ".join(sorted(house.children))
    seen = in_words(again) if again else seen
    mend = f"see {settings.data_dir / 'logs'}; the supervisor starts them again"
    return Check("processes", not (dead or again), seen, mend)


def _plugins(_settings: Settings) -> Check:
    formats = [m.FORMAT for m in discover("pipelines.parsers", PARSER).values()]
    return Check("parsers", well=True, seen=", ".join(sorted(formats)))


def _rules(settings: Settings) -> Check:
    if missing := absent_rules(settings):
        seen = f"no folder {', '.join(missing)}"
        return Check("rules", well=False, seen=seen, mend="correct INOPSIO_RULES_DIRS")
    return Check("rules", well=True, seen=settings.rules_dirs or "the house's own")


def _ledger(settings: Settings) -> Check:
    if running(settings) is None:
        return Check("database", well=True, seen="not up; it starts with inopsio up")
    with opened(settings) as house:
        return Check("database", well=True, seen=f"{len(house.database.tenants())} tenants")
