"""Name entities in addresses and queries: one canonical name, whatever a source calls it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote

from storage.errors import NotFound
from storage.schema.entity import canonical

KINDS: Final = {
    "host": "Host",
    "user": "User",
    "ip": "Address",
    "domain": "Domain",
    "process": "Program",
    "vendor": "Vendor",
    "document": "Document",
    "customer": "Customer",
    "device": "Device",
    "item": "Item",
    "file": "File",
}
"""What an entity's page may be about, in the order in which entities are shown."""
BUSINESS: Final = frozenset({"vendor", "document", "customer", "item"})
_TYPES: Final[Mapping[str, tuple[str, ...]]] = {"user": ("user", "mailbox", "person")}
_MASTER: Final = frozenset({"vendor", "customer", "item"})
_LONGEST: Final = 512
_COLUMN: Final = {
    "host": "hosts",
    "user": "users",
    "ip": "ips",
    "vendor": "vendors",
    "document": "documents",
    "domain": "domains",
    "process": "programs",
}


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Name one entity: its kind and its canonical name."""

    kind: str
    name: str

    @property
    def path(self) -> str:
        r"""Give the address of its page.

        >>> Key("user", "ann.lee").path, Key("process", "c:\\a b").path
        ('/entity/user:ann.lee', '/entity/process:c:%255Ca%2520b')
        """
        # Twice: a server reads %2F as the end of a part of the path before we can.
        return "/entity/" + quote(quote(f"{self.kind}:{self.name}", safe=":@"), safe=":@")

    @property
    def id(self) -> str:
        """Give one text that names it in a page's URL."""
        return f"{self.kind}:{self.name}"

    @property
    def types(self) -> list[str]:
        """Give the entity types by which sources tell of it."""
        return list(_TYPES.get(self.kind, (self.kind,)))

    @property
    def asked(self) -> dict[str, Any]:
        """Give it as parameters of queries that look it up under every spelling."""
        return {"types": self.types, "name": self.name}


def key_of(kind: str, name: str) -> Key:
    r"""Give the entity that a source's words name.

    >>> key_of("mailbox", "Ann.Lee@corp.example")
    Key(kind='user', name='ann.lee')
    """
    return Key(*canonical(kind, name))


def read_key(text: str) -> Key:
    r"""Read the variable part of an entity's address; NotFound when it is none.

    >>> read_key("process:c:%255Ca%2520b").name
    'c:\\a b'
    """
    return parse_key(unquote(unquote(text)))


def parse_key(text: str) -> Key:
    """Read `kind:name`; NotFound when it is none."""
    kind, _, name = text.replace("\x00", "").partition(":")
    if kind not in KINDS and not kind.isidentifier():
        raise NotFound("This is not the address of an entity.")
    if not name.strip() or len(name) > _LONGEST:
        raise NotFound("This is not the address of an entity.")
    return key_of(kind, name)


def named_by(claim: Mapping[str, Any]) -> list[Key]:
    """Give the entities of a finding: its own first, then those it touches, each once.

    >>> linked = [["document", "V-7"], ["document", "P-1"]]
    >>> [k.id for k in named_by({"entity_type": "vendor", "entity": "V-7", "links": linked})]
    ['vendor:V-7', 'document:P-1']
    """
    own = key_of(str(claim["entity_type"]), str(claim["entity"]))
    links = [link for link in claim.get("links") or [] if len(link) >= 2]
    linked = [key_of(str(link[0]), str(link[1])) for link in links]
    named = [k for k in dict.fromkeys([own, *linked]) if k.name]
    # Master data is a document too: said once, as what it is.
    known = {k.name for k in named if k.kind in _MASTER}
    return [k for k in named if k.kind != "document" or k.name not in known]


def among(keys: Iterable[Key]) -> dict[str, list[str]]:
    """Give the entities as parameters of `investigate_events`."""
    found: dict[str, list[str]] = {column: [] for column in _COLUMN.values()}
    for key in keys:
        if key.kind in _COLUMN:
            found[_COLUMN[key.kind]].append(key.name)
    return found


def ordered(keys: Sequence[Key]) -> list[Key]:
    """Sort entities by kind as shown, each once, order kept within a kind."""
    places = list(KINDS)
    return sorted(
        dict.fromkeys(keys), key=lambda k: places.index(k.kind) if k.kind in KINDS else 99
    )
