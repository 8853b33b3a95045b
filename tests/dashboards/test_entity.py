import re
from datetime import UTC, datetime

import polars as pl
import pytest

from dashboards.read import entity as read
from dashboards.read.names import Key, parse_key, read_key
from pipelines.windows import SCHEMA
from storage.database.rollups import add_window_counts
from storage.errors import NotFound
from storage.schema.entity import canonical
from storage.tenant import Role
from tests.api.conftest import START_US
from tests.dashboards.conftest import CANARY, House


@pytest.mark.parametrize(
    "key",
    [
        Key("user", "ann.lee"),
        Key("process", "c:\\a b\\100% sure?.exe"),
        Key("file", "/etc/passwd#x&y"),
        Key("vendor", "V/9 ünï"),
    ],
)
def test_any_name_survives_its_own_address(key: Key) -> None:
    assert "/" not in key.path.removeprefix("/entity/")
    assert read_key(key.path.removeprefix("/entity/")) == key


@pytest.mark.parametrize("text", ["", "user", "user:", ":x", "a b:c", "host:" + "x" * 600])
def test_what_is_no_entity_is_not_found(text: str) -> None:
    with pytest.raises(NotFound):
        parse_key(text)


def test_risk_is_the_sum_of_what_its_claims_add(filled: House) -> None:
    now = filled.console.now()
    found = read.entity(filled.database, filled.acme, Key("user", "user alpha"), now)
    assert [(p.title, p.level, p.claims) for p in found.risk.parts] == [
        ("Title alpha", "critical", 1)
    ]
    assert found.risk.score == sum(p.share for p in found.risk.parts) == found.risk_by_day[-1].score
    assert sum(found.by_day["critical"]) == 1
    assert [(n.key, n.claims) for n in found.linked] == [(Key("host", "host alpha"), 1)]


def test_the_ranking_is_of_ones_own_entities_and_narrows_by_kind(filled: House) -> None:
    person = filled.person(filled.acme, "p", Role.ANALYST)
    shown = filled.open(person, "/risk")
    assert "user alpha" in shown
    assert CANARY.lower() not in shown.lower()
    hosts = filled.open(person, "/risk", "?kind=host")
    assert "host alpha" in hosts
    assert '"under": "User"' not in hosts
    assert "No vendor is claimed of" in filled.open(person, "/risk", "?kind=vendor")


def test_the_page_shows_an_entity_to_its_tenant_alone(filled: House) -> None:
    person = filled.person(filled.acme, "p", Role.ANALYST)
    shown = filled.open(person, Key("host", "host alpha").path)
    assert "Title alpha" in shown
    assert "Risk history" in shown
    theirs = filled.open(person, Key("host", f"host {CANARY.lower()}").path)
    assert "Nothing is known of it" in theirs
    assert "Title " + CANARY not in theirs


def test_the_timeline_widens_by_the_url(filled: House) -> None:
    person = filled.person(filled.acme, "p", Role.ANALYST)
    sent = {"url.search": "?span=7d", "entity-id.data": "host:host alpha"}
    shown = filled.call(person, filled.named("entity-timeline.children"), **sent).text
    assert "Last 7 days" in shown
    assert "Title alpha" in shown


def counted(house: House, kind: str, *spelled: str) -> None:
    """Count one event of acme under each spelling."""
    at = datetime.fromtimestamp(START_US // 600_000_000 * 600, UTC)
    rows = [("acme", kind, name, 1007, at, 600, 1) for name in spelled]
    with house.database.writer() as tx:
        add_window_counts(tx, pl.DataFrame(rows, schema=SCHEMA, orient="row"))


@pytest.mark.parametrize(
    ("kind", "spelled", "name"),
    [
        ("host", ("FS-01.corp.example", "fs-01", "FS-01", "fs-01.CORP.example"), "fs-01"),
        ("user", ("CORP\\Ann.Lee", "ann.lee@corp.example", "ann.lee"), "ann.lee"),
    ],
)
def test_every_spelling_of_an_entity_leads_to_the_same_page(
    house: House, kind: str, spelled: tuple[str, ...], name: str
) -> None:
    counted(house, kind, *spelled)
    for one in spelled:
        key = parse_key(f"{kind}:{one}")
        found = read.entity(house.database, house.acme, key, house.console.now())
        assert (found.key, sum(found.events_by_day)) == (Key(kind, name), len(spelled))
        assert sorted(found.aliases) == sorted(set(spelled) - {name})
        assert (found.peers.events, found.peers.entities) == (len(spelled), 1)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("host", " WS-17.corp.example"),
        ("host", "10.0.0.5"),
        ("host", "FE80::1"),
        ("user", "CORP\\Ann.Lee@corp.example"),
        ("mailbox", "Ann@corp.example"),
        ("person", "Ann"),
        ("ip", "FE80::1"),
        ("process", "C:\\A.exe"),
        ("vendor", "V-9"),
        ("device", "A0-B1"),
    ],
)
def test_the_ledger_names_an_entity_as_the_schema_does(house: House, kind: str, name: str) -> None:
    with house.database.app(house.acme) as tx:
        rows = tx.execute("SELECT entity_name(%s, %s)", (kind, name)).fetchall()
    assert rows == [(canonical(kind, name)[1],)]


def test_counts_of_an_entity_are_found_by_an_index(house: House) -> None:
    counted(house, "host", "ws-1")
    with house.database.app(house.acme) as tx:
        tx.execute("SET LOCAL enable_seqscan = off")
        rows = tx.execute(
            "EXPLAIN SELECT sum(events) FROM window_counts WHERE entity_type = ANY(%s)"
            " AND entity_key = %s",
            (["host"], "ws-1"),
        ).fetchall()
    assert re.search(r"Index Cond:.*entity_key = ", str(rows))
