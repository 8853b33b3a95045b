import json

from dashboards.read import graph as read
from dashboards.read.graph import Asked
from storage.database.rows import insert_findings
from storage.schema import Finding
from storage.schema.finding import finding_id
from storage.tenant import Role
from tests.api.conftest import START_US
from tests.dashboards.conftest import CANARY, House


def claim(number: int, host: str, users: tuple[str, ...], parts: tuple[str, ...] = ()) -> Finding:
    return Finding(
        finding_id=finding_id("acme", "made", "1", "r", str(number)),
        tenant_id="acme",
        detector="made",
        detector_version="1",
        rule_id="r",
        title=f"Claim {number}",
        level="high",
        time_us=START_US + number,
        entity_type="host",
        entity=host,
        event_ids=(),
        links=tuple(("user", user) for user in users),
        parts=parts,
    )


def put(house: House, claims: list[Finding]) -> None:
    with house.database.writer() as tx:
        insert_findings(tx, claims)


def test_a_graph_grows_by_what_is_opened_and_says_what_is_not_shown(filled: House) -> None:
    asked = Asked("entity", "user:user alpha")
    now = filled.console.now()
    found = read.graph(filled.database, filled.acme, asked, now)
    kinds = sorted(n.kind for n in found.nodes.values())
    assert kinds == ["finding", "host", "user"]
    assert found.nodes["user:user alpha"].is_root
    put(filled, [claim(1, "host alpha", ("eve",))])
    grown = read.graph(filled.database, filled.acme, asked.opening("host:host alpha"), now)
    assert "user:eve" in grown.nodes


def test_a_correlation_is_drawn_to_the_parts_it_rests_on(house: House) -> None:
    one = claim(1, "a", ())
    whole = claim(2, "a", (), (one.finding_id,))
    put(house, [one, whole])
    asked = Asked("finding", whole.finding_id)
    found = read.graph(house.database, house.acme, asked, house.console.now())
    ends = (f"finding:{whole.finding_id}", f"finding:{one.finding_id}")
    assert found.edges[ends] == "rests on"


def test_a_graph_stays_within_its_limits_and_says_so(house: House) -> None:
    put(house, [claim(n, "hub", tuple(f"u{n}-{k}" for k in range(9))) for n in range(200)])
    asked = Asked("entity", "host:hub")
    found = read.graph(house.database, house.acme, asked, house.console.now())
    assert (len(found.nodes) <= read.FIRST_NODES, found.is_cut) == (True, True)
    opened = Asked("entity", "host:hub", tuple(f"user:u{n}-1" for n in range(160, 200)))
    more = read.graph(house.database, house.acme, opened, house.console.now())
    assert len(more.nodes) <= read.MOST_NODES


def test_the_page_carries_data_and_a_table_that_says_the_same(filled: House) -> None:
    person = filled.person(filled.acme, "p", Role.ANALYST)
    shown = filled.open(person, "/graph", "?entity=host:host%20alpha")
    assert '\\"kind\\":\\"finding\\"' in shown
    assert "The graph as a table" in shown
    for root in (f"?entity=host:host%20{CANARY}", f"?finding={filled.finding_ids(filled.bolt)[0]}"):
        assert f"Title {CANARY}" not in filled.open(person, "/graph", root)
    assert "A graph begins somewhere" in filled.open(person, "/graph")
    assert "Not found" in filled.open(person, "/graph", "?finding=../..")


def test_choosing_a_node_tells_of_it_within_the_tenant(filled: House) -> None:
    person = filled.person(filled.acme, "p", Role.ANALYST)
    listed = filled.named("graph-side.children")
    own, theirs = filled.finding_ids(filled.acme)[0], filled.finding_ids(filled.bolt)[0]
    told = {"url.search": "?entity=host:x"}
    shown = filled.call(
        person, listed, **{"graph-pick.data": {"id": f"finding:{own}"}, **told}
    ).text
    assert "Title alpha" in shown
    for name in (f"finding:{theirs}", f"host:host {CANARY}", "finding:x", "::", ""):
        answer = filled.call(person, listed, **{"graph-pick.data": {"id": name}, **told})
        assert f"Title {CANARY}" not in json.dumps(answer.json()), name
