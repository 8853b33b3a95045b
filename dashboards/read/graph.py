"""Read who is connected with whom: entities and claims around an entity, a finding, an incident."""

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from psycopg import Connection
from psycopg.rows import TupleRow

from business import incidents
from dashboards.read.entity import claims_of
from dashboards.read.known import names_of, said
from dashboards.read.names import KINDS, Key, named_by, parse_key
from dashboards.ui.marks import LEVELS
from storage.database import Database
from storage.database.queries import select
from storage.errors import NotFound
from storage.tenant import Scope

Row = dict[str, Any]
FIRST_NODES: Final = 300
MOST_NODES: Final = 500
MOST_OPEN: Final = 40
CLAIMS_AN_ENTITY: Final = 40
DAYS: Final = 30
QUERY_MS: Final = "10000"
_CLAIM: Final = "finding:"
_ROOTS: Final = ("entity", "finding", "incident")


@dataclass(frozen=True, slots=True)
class Asked:
    """Hold what of the graph is asked for: around what (`root` of kind `by`), what is opened."""

    by: str = ""
    root: str = ""
    opened: tuple[str, ...] = ()

    @classmethod
    def read(cls, search: str) -> "Asked":
        """Read it from a URL's query; what is unknown is left out.

        >>> Asked.read("?entity=user:ann&open=host:ws-1").opened
        ('host:ws-1',)
        """
        try:
            told = parse_qs(search.removeprefix("?")[:8000], max_num_fields=80)
        except ValueError:
            told = {}
        by = next((name for name in _ROOTS if told.get(name)), "")
        root = told[by][0].replace("\x00", "")[:600] if by else ""
        opened = [o.replace("\x00", "")[:600] for o in told.get("open", [])]
        return cls(by, root, tuple(dict.fromkeys(opened))[:MOST_OPEN])

    def search(self) -> str:
        """Write it as a URL's query."""
        pairs = [(self.by, self.root), *(("open", o) for o in self.opened)]
        return f"?{urlencode(pairs)}" if self.by else ""

    def opening(self, name: str) -> "Asked":
        """Give the same with one more node opened."""
        return Asked(self.by, self.root, tuple(dict.fromkeys([*self.opened, name])))


@dataclass(slots=True)
class Node:
    """One node. `kind`: an entity's kind or `finding`; `more`: claims that are not shown yet."""

    id: str
    kind: str
    label: str
    level: str = ""
    path: str = ""
    at: datetime | None = None
    is_signal: bool = False
    is_root: bool = False
    more: int = 0
    links: int = 0


@dataclass(slots=True)
class Graph:
    """Nodes by id and edges as (one, other, what); `is_cut`: there was no room for more."""

    title: str
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[tuple[str, str], str] = field(default_factory=dict)
    is_cut: bool = False


def graph(database: Database, scope: Scope, asked: Asked, now: datetime) -> Graph:
    """Build the graph; NotFound when the root is not this tenant's."""
    scope.require("findings:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        newest = select(tx, "investigate_newest")[0]["last_time"]
        end = max(now, newest) if isinstance(newest, datetime) else now
        far = newest if isinstance(newest, datetime) else now
        bounds = (min(far, now) - timedelta(days=DAYS), end + timedelta(days=1))
        found, claims = _begin(tx, scope, asked, bounds)
        _add(found, claims, FIRST_NODES)
        for name in asked.opened:
            _add(found, _beside(tx, name, bounds), MOST_NODES)
        _count(tx, found, bounds)
        _name(tx, scope, found)
    return found


def _name(tx: Connection[TupleRow], scope: Scope, found: Graph) -> None:
    """Label entities by the names people know."""
    entities = {n.id: parse_key(n.id) for n in found.nodes.values() if n.kind != "finding"}
    names = names_of(tx, scope, entities.values())
    for node_id, key in entities.items():
        found.nodes[node_id].label = names.get(key, key.name)
    found.title = said(found.title, names)


Bounds = tuple[datetime, datetime]


def _begin(
    tx: Connection[TupleRow], scope: Scope, asked: Asked, bounds: Bounds
) -> tuple[Graph, list[Row]]:
    if asked.by == "incident":
        known = _uuid(asked.root)
        told = incidents.get(scope, tx, known)
        rows = select(tx, "investigate_story", incident_id=known, limit=200)
        return Graph(str(told["title"])), rows
    if asked.by == "finding":
        rows = _claims(tx, [_uuid(asked.root)])
        if not rows:
            raise NotFound("There is no such finding.")
        found = Graph(str(rows[0]["title"]))
        _claim_node(found, rows[0]).is_root = True
        return found, [*rows, *_beside(tx, _CLAIM + str(rows[0]["finding_id"]), bounds)]
    key = parse_key(asked.root)
    found = Graph(f"{KINDS.get(key.kind, key.kind)} {key.name}")
    found.nodes[key.id] = _entity_node(key)
    found.nodes[key.id].is_root = True
    return found, claims_of(tx, key, *bounds, CLAIMS_AN_ENTITY)


def _beside(tx: Connection[TupleRow], name: str, bounds: Bounds) -> list[Row]:
    """Give the claims that opening this node shows."""
    if not name.startswith(_CLAIM):
        try:
            return claims_of(tx, parse_key(name), *bounds, CLAIMS_AN_ENTITY)
        except NotFound:
            return []
    known = _uuid(name.removeprefix(_CLAIM))
    rows = _claims(tx, [known])
    parts = [p for row in rows for p in row["parts"]]
    above = select(tx, "investigate_graph_above", finding_id=known)
    return [*rows, *_claims(tx, [*parts, *(str(a["finding_id"]) for a in above)])]


def _claims(tx: Connection[TupleRow], ids: Sequence[str]) -> list[Row]:
    if not ids:
        return []
    return select(tx, "investigate_graph_claims", finding_ids=list(ids)[:200], limit=200)


def _add(found: Graph, claims: Iterable[Row], most: int) -> None:
    for claim in claims:
        keys = named_by(claim)[:10]
        new = [k.id for k in keys if k.id not in found.nodes]
        name = _CLAIM + str(claim["finding_id"])
        if name not in found.nodes and len(found.nodes) + len(new) + 1 > most:
            found.is_cut = True
            continue
        _claim_node(found, claim)
        for key in keys:
            found.nodes.setdefault(key.id, _entity_node(key))
            found.edges.setdefault((name, key.id), "about" if key == keys[0] else "touches")
    _rest(found, claims)


def _rest(found: Graph, claims: Iterable[Row]) -> None:
    """Draw from a correlation to the parts it rests on, where both are shown."""
    for claim in claims:
        for part in claim.get("parts") or []:
            ends = _CLAIM + str(claim["finding_id"]), _CLAIM + str(part)
            if ends[0] in found.nodes and ends[1] in found.nodes:
                found.edges.setdefault(ends, "rests on")


def _claim_node(found: Graph, claim: Row) -> Node:
    name = _CLAIM + str(claim["finding_id"])
    return found.nodes.setdefault(
        name,
        Node(
            id=name,
            kind="finding",
            label=str(claim["title"]),
            level=str(claim["level"]),
            path=f"/finding/{claim['finding_id']}",
            at=claim["time"],
            is_signal=claim.get("kind") == "signal",
        ),
    )


def _entity_node(key: Key) -> Node:
    return Node(id=key.id, kind=key.kind, label=key.name, path=key.path)


def _count(tx: Connection[TupleRow], found: Graph, bounds: Bounds) -> None:
    """Say of each node how many links it has, how grave its claims are, and what is not shown."""
    shown: Counter[str] = Counter()
    for one, other in found.edges:
        for name, beside in ((one, other), (other, one)):
            found.nodes[name].links += 1
            shown[name] += beside.startswith(_CLAIM)
            level = found.nodes[beside].level
            if found.nodes[name].kind != "finding" and level:
                before = found.nodes[name].level
                found.nodes[name].level = min(before or level, level, key=_place)
    entities = [n for n in found.nodes.values() if n.kind != "finding"]
    rows = select(
        tx,
        "investigate_graph_counts",
        kinds=[n.kind for n in entities],
        names=[n.id.partition(":")[2] for n in entities],
        since=bounds[0],
        until=bounds[1],
    )
    for row in rows:
        node = found.nodes.get(f"{row['kind']}:{row['name']}")
        if node is not None:
            node.more = max(0, int(str(row["claims"])) - shown[node.id])


def _place(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise NotFound("This is not the address of a finding or an incident.") from None
