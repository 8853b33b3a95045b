"""Read what the network shows of itself: who talks to whom, who serves what, at which risk."""

import ipaddress
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from psycopg import Connection
from psycopg.rows import TupleRow

from business import risk
from dashboards.read.names import Key, key_of
from dashboards.read.newest import end_of
from storage.database import Database
from storage.database.queries import select
from storage.tenant import Scope

MOST_NODES: Final = 1_000
MOST_FACTS: Final = 4_000
MOST_OPEN: Final = 20
QUERY_MS: Final = "10000"
INTERNET: Final = "internet"
SHOWS: Final = ("", "risk", "servers")
_KINDS: Final = ("talks_to", "serves", "role", "device", "name")
_APART: Final = 64.0
_GOLDEN: Final = 2.399963
"""The angle by which seeds of a sunflower follow each other: no two lie behind one another."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Hold what is asked for: `words` to find, `show` (of SHOWS), addresses to look around."""

    words: str = ""
    show: str = ""
    opened: tuple[str, ...] = ()

    @classmethod
    def read(cls, search: str) -> "Asked":
        """Read it from a URL's query; what is unknown is left out.

        >>> Asked.read("?q=dns&show=x&open=10.0.0.1")
        Asked(words='dns', show='', opened=('10.0.0.1',))
        """
        try:
            told = parse_qs(search.removeprefix("?")[:4000], max_num_fields=40)
        except ValueError:
            told = {}
        show = told.get("show", [""])[0]
        opened = [name.replace("\x00", "")[:255] for name in told.get("open", [])]
        words = told.get("q", [""])[0].replace("\x00", "")[:100]
        return cls(words, show if show in SHOWS else "", tuple(dict.fromkeys(opened))[:MOST_OPEN])

    def search(self) -> str:
        """Write it as a URL's query."""
        pairs = [("q", self.words), ("show", self.show), *(("open", o) for o in self.opened)]
        told = urlencode([(name, value) for name, value in pairs if value])
        return f"?{told}" if told else ""


@dataclass(slots=True)
class Place:
    """Hold one address of the network. `level`: its risk in a word, '' where there is none."""

    address: str
    name: str = ""
    device: str = ""
    roles: list[str] = field(default_factory=list)
    services: list[str] = field(default_factory=list)
    near: set[str] = field(default_factory=set)
    score: float = 0.0
    level: str = ""
    last_at: datetime | None = None
    x: int = 0
    y: int = 0

    @property
    def key(self) -> Key | None:
        """Give the entity that it is; the internet is none."""
        return None if self.address == INTERNET else key_of("ip", self.address)

    @property
    def subnet(self) -> str:
        """Give the neighbourhood it is drawn in: /24, /64, or its own word.

        >>> Place("192.0.2.7").subnet, Place("internet").subnet
        ('192.0.2.0/24', 'internet')
        """
        try:
            known = ipaddress.ip_address(self.address)
        except ValueError:
            return self.address
        size = 24 if known.version == 4 else 64
        return str(ipaddress.ip_network((known, size), strict=False))

    def said(self) -> str:
        """Give all words by which it may be found."""
        told = (self.address, self.name, self.device, self.level, self.subnet)
        return " ".join([*told, *self.roles, *self.services]).lower()


@dataclass(slots=True)
class Topology:
    """Hold the places that are shown, of `total`; `pairs` talk to each other."""

    places: dict[str, Place]
    pairs: list[tuple[str, str]]
    total: int
    subnets: int = 0


def topology(database: Database, scope: Scope, asked: Asked, now: datetime) -> Topology:
    """Give what is asked for, with places to draw it at: the same facts give the same picture."""
    scope.require("events:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        facts = {
            kind: select(tx, "topology_list", entity=None, kind=kind, limit=MOST_FACTS)
            for kind in _KINDS
        }
        places, pairs = _gathered(facts)
        if scope.may("findings:read"):
            _weigh(tx, scope, places, now)
    shown = _chosen(places, asked)
    found = Topology(shown, [p for p in pairs if p[0] in shown and p[1] in shown], len(places))
    found.subnets = _arrange(shown)
    return found


def _gathered(
    facts: Mapping[str, list[dict[str, Any]]],
) -> tuple[dict[str, Place], list[tuple[str, str]]]:
    """Put the facts of each address together."""
    places: dict[str, Place] = {}

    def place(address: object, seen: datetime | None) -> Place:
        one = places.setdefault(str(address), Place(str(address)))
        if seen is not None and (one.last_at is None or seen > one.last_at):
            one.last_at = seen
        return one

    pairs = []
    for row in facts["talks_to"]:
        one, other = place(row["one"], row["last_at"]), place(row["other"], row["last_at"])
        one.near.add(other.address)
        other.near.add(one.address)
        pairs.append((one.address, other.address))
    for row in facts["serves"]:
        place(row["one"], row["last_at"]).services.append(str(row["other"]))
    for row in facts["role"]:
        place(row["one"], row["last_at"]).roles.append(str(row["other"]))
    names = {str(row["one"]): str(row["other"]) for row in reversed(facts["name"])}
    for row in facts["device"]:
        one = place(row["one"], row["last_at"])
        if not one.device:  # the latest seen comes first
            one.device, one.name = str(row["other"]), names.get(str(row["other"]), "")
    return places, pairs


def _weigh(
    tx: Connection[TupleRow], scope: Scope, places: Mapping[str, Place], now: datetime
) -> None:
    """Say how risky the places are, by their addresses and by their hosts' names."""
    at = end_of(tx, now)
    known: dict[tuple[str, str], list[Place]] = defaultdict(list)
    for one in places.values():
        if one.key is not None:
            known["ip", one.key.name].append(one)
        if one.name:
            known["host", key_of("host", one.name).name].append(one)
    for kind in ("ip", "host"):
        top = risk.ranking(scope, tx, at, kind, risk.MOST_RANKED)
        here = [pair for pair in top if pair in known]
        for told in risk.risks(scope, tx, here, at, {}) if here else ():
            for one in known[told.entity_type, told.entity]:
                if told.score > one.score and told.band != "none":
                    one.score, one.level = told.score, told.band


def _chosen(places: Mapping[str, Place], asked: Asked) -> dict[str, Place]:
    """Keep what fits what is asked for; of too many the riskiest and the best connected."""
    wanted = asked.words.lower().split()
    near = set(asked.opened).union(*(places[o].near for o in asked.opened if o in places))
    fitting = [
        one
        for one in places.values()
        if (not asked.opened or one.address in near)
        and all(word in one.said() for word in wanted)
        and (asked.opened or _is_shown(one, asked.show))
    ]
    fitting.sort(key=lambda one: (-one.score, -len(one.near), one.address))
    return {one.address: one for one in fitting[:MOST_NODES]}


def _is_shown(one: Place, show: str) -> bool:
    if show == "risk":
        return bool(one.level)
    return show != "servers" or bool(one.roles or one.services)


def _arrange(places: Mapping[str, Place]) -> int:
    """Draw each subnet as a sunflower, the best connected in its middle; give how many there are.

    Nothing is reckoned by forces: a thousand places stand at once, and where they stood yesterday.
    """
    groups: dict[str, list[Place]] = defaultdict(list)
    for one in places.values():
        groups[one.subnet].append(one)
    sizes = Counter({name: len(group) for name, group in groups.items()})
    order = sorted(groups, key=lambda name: (-sizes[name], name))
    radius = {name: _APART * (math.sqrt(sizes[name]) + 0.8) for name in order}
    width = 1.7 * math.sqrt(sum((2 * r) ** 2 for r in radius.values()))
    left = top = high = 0.0
    for name in order:
        if left and left + 2 * radius[name] > width:
            left, top, high = 0.0, top + high, 0.0
        _sunflower(groups[name], left + radius[name], top + radius[name])
        left, high = left + 2 * radius[name], max(high, 2 * radius[name])
    return len(groups)


def _sunflower(group: Iterable[Place], x: float, y: float) -> None:
    for turn, one in enumerate(sorted(group, key=lambda p: (-len(p.near), p.address))):
        far = _APART * math.sqrt(turn)
        one.x = round(x + far * math.cos(turn * _GOLDEN))
        one.y = round(y + far * math.sin(turn * _GOLDEN))
