"""Claims of one story meet in one incident, whatever order they come in; hubs join nothing."""

import random
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from itertools import combinations

import pytest

from business import Event
from business.incidents import handle
from storage.database import Database
from storage.database.rows import insert_findings
from storage.errors import InvalidInput
from storage.schema import Finding
from storage.schema.entity import canonical
from storage.schema.finding import Level, finding_id
from storage.tenant import Scope, system_scope
from tests.business.conftest import MINUTE_US, NOON_US

DAY = 24 * 60
WINDOW_US = DAY * MINUTE_US
GRAVE = {"high", "critical"}
Entities = tuple[tuple[str, str], ...]


def claim(
    name: str,
    minute: float,
    level: Level,
    *entities: tuple[str, str],
    is_signal: bool = False,
    parts: Sequence[str] = (),
) -> Finding:
    """Give a claim of tenant `acme`, so many minutes after noon; `parts` by their names."""
    return Finding(
        finding_id=finding_id("acme", "sigma", "1", "r", name),
        tenant_id="acme",
        detector="correlation" if parts else "sigma",
        detector_version="1",
        rule_id=f"rule-{name}",
        title=name,
        level=level,
        time_us=NOON_US + int(minute * MINUTE_US),
        entity_type=entities[0][0],
        entity=entities[0][1],
        event_ids=("0196f000-0000-8000-8000-000000000001",),
        links=tuple(entities[1:]),
        kind="signal" if is_signal else "finding",
        parts=tuple(finding_id("acme", "sigma", "1", "r", p) for p in parts),
    )


def signal(name: str, minute: float, *entities: tuple[str, str]) -> Finding:
    return claim(name, minute, "low", *entities, is_signal=True)


def of_tenant(finding: Finding, tenant: str) -> Finding:
    """Give the same claim of another tenant, under other ids."""

    def own(old: str) -> str:
        return finding_id(tenant, "x", "1", "r", old)

    return replace(
        finding,
        tenant_id=tenant,
        finding_id=own(finding.finding_id),
        parts=tuple(own(p) for p in finding.parts),
    )


Put = Callable[..., None]


def put(database: Database, findings: Iterable[Finding], keep: bool = True) -> None:
    """Store the claims, then let the incidents hear of them in this order."""
    found = list(findings)
    if keep:
        with database.writer() as tx:
            insert_findings(tx, found)
    for f in found:
        scope = system_scope(f.tenant_id, "incidents")
        with database.app(scope) as tx:
            handle(scope, tx, Event(f.finding_id, "inopsio.finding", "findings", asdict(f)))


def partition(database: Database, tenant: str = "acme") -> set[frozenset[str]]:
    """Give the incidents that are not merged away, each as the titles of its claims."""
    with database.app(system_scope(tenant, "test")) as tx:
        rows = tx.execute(
            "SELECT array_agg(f.title) FROM incidents i JOIN incident_findings USING (incident_id)"
            " JOIN findings f USING (finding_id) WHERE i.merged_into IS NULL GROUP BY i.incident_id"
        ).fetchall()
    assert all(len(r[0]) == len(set(r[0])) for r in rows)
    return {frozenset(r[0]) for r in rows}


def incidents(database: Database) -> list[tuple[object, ...]]:
    with database.app(system_scope("acme", "test")) as tx:
        return tx.execute(
            "SELECT title, level, finding_count, signal_count FROM incidents"
            " WHERE merged_into IS NULL ORDER BY title"
        ).fetchall()


HOST, USER, IP = ("host", "WS-1"), ("user", "CORP\\ann"), ("ip", "198.51.100.9")


@pytest.fixture(autouse=True)
def _tenants(two_tenants: tuple[Scope, Scope]) -> None:
    """Have the tenants acme and bolt."""


def notes(database: Database) -> list[tuple[object, ...]]:
    """Give title of the incident, author and body of all notes."""
    with database.app(system_scope("acme", "test")) as tx:
        return tx.execute(
            "SELECT i.title, n.author, n.body FROM incident_notes n JOIN incidents i"
            " USING (tenant_id, incident_id) ORDER BY n.at, n.note_id"
        ).fetchall()


def test_an_incident_says_which_other_joined_it_and_by_what(database: Database) -> None:
    put(database, [claim("a", 0, "high", HOST), claim("b", 5, "high", USER)])
    assert notes(database) == []
    put(database, [claim("c", 9, "high", HOST, USER)])
    told = 'Joined with "b on CORP\\ann": the same ann, ws-1 within a day.'
    assert [(author, body) for _, author, body in notes(database)] == [("system", told)]


def test_what_a_correlation_ties_is_said_to_be_tied_by_it(database: Database) -> None:
    put(database, [claim("a", 0, "high", HOST), claim("b", 3 * DAY, "high", USER)])
    put(database, [claim("c", 3 * DAY, "high", ("vendor", "V-9"), parts=("a", "b"))])
    told = 'Joined with "b on CORP\\ann": a correlation rests on claims of both.'
    assert [body for _, _, body in notes(database)] == [told]


def test_joins_are_noted_twenty_times_and_no_more(database: Database) -> None:
    for n in range(22):
        put(database, [claim(f"x{n}", 0, "high", ("host", f"h{n}"))])
    put(database, [claim("hub", -1, "high", USER)])
    for n in range(22):
        put(database, [claim(f"y{n}", 1 + n, "high", USER, ("host", f"h{n}"))])
    said = [str(body) for _, _, body in notes(database)]
    assert len(said) == 20
    assert [s.endswith("Further ones are not noted.") for s in said] == [False] * 19 + [True]


def test_medium_findings_and_signals_open_nothing(database: Database) -> None:
    put(database, [claim("m", 0, "medium", HOST), signal("s", 1, HOST)])
    put(database, [claim("t", 2, "critical", HOST, is_signal=True)])
    assert partition(database) == set()


def test_an_incident_draws_in_what_came_before_under_another_name_of_the_same_entity(
    database: Database,
) -> None:
    put(database, [signal("s", 0, ("mailbox", "ann@corp.example")), signal("other", 0, IP)])
    put(database, [claim("f", 60, "high", HOST, USER), signal("t", 90, ("host", "ws-1.corp"))])
    put(database, [signal("late", 60 + DAY + 1, USER)])
    assert partition(database) == {frozenset({"s", "f", "t"})}


def test_what_only_joins_draws_nothing_further_in(database: Database) -> None:
    put(database, [claim("f", 0, "high", HOST), signal("s", 1, HOST, USER), signal("t", 2, USER)])
    assert partition(database) == {frozenset({"f", "s"})}


def test_a_correlation_brings_its_parts_whatever_their_age_and_merges_their_incidents(
    database: Database,
) -> None:
    put(database, [signal("old", -20 * DAY, USER), claim("a", 0, "high", HOST)])
    put(database, [claim("b", 9 * DAY, "high", IP), signal("near-b", 9 * DAY + 5, IP)])
    assert partition(database) == {frozenset({"a"}), frozenset({"b", "near-b"})}
    put(database, [claim("story", 10 * DAY, "critical", USER, parts=["old", "a", "b"])])
    assert partition(database) == {frozenset({"old", "a", "b", "near-b", "story"})}
    assert incidents(database) == [("story on CORP\\ann", "critical", 5, 2)]


def test_a_correlation_that_comes_before_its_parts_has_them_too(database: Database) -> None:
    parts = [signal("p", -3 * DAY, USER), signal("q", -2 * DAY, IP)]
    put(database, [claim("story", 0, "high", HOST, parts=["p", "q"])])
    put(database, parts)
    assert partition(database) == {frozenset({"p", "q", "story"})}


def test_the_name_is_that_of_the_gravest_correlation(database: Database) -> None:
    put(database, [claim("worst", 0, "critical", HOST), signal("p", 1, HOST)])
    put(database, [claim("story", 2, "high", HOST, parts=["p"])])
    assert incidents(database)[0][:2] == ("story on WS-1", "critical")


def test_an_incident_does_not_name_its_entity_twice(database: Database) -> None:
    told = replace(claim("beacon", 0, "high", HOST), title="ws-1.corp.example calls out")
    put(database, [told, claim("planned", 5 * DAY, "high", ("user", "ann"))])
    assert [row[0] for row in incidents(database)] == [
        "planned on ann",
        "ws-1.corp.example calls out",
    ]


def test_a_hub_does_not_join_but_an_accused_one_does(database: Database) -> None:
    hub = ("ip", "203.0.113.1")
    crowd = [signal(f"u{n}", n, ("user", f"u{n}"), hub) for n in range(13)]
    put(database, crowd)
    put(database, [claim("f", 20, "high", HOST, hub), claim("g", 21, "high", USER, hub)])
    assert partition(database) == {frozenset({"f"}), frozenset({"g"})}
    put(database, [claim("spray", 22, "high", hub)])
    assert partition(database) == {frozenset({"f", "g", "spray", *(f"u{n}" for n in range(13))})}


def test_twelve_others_make_no_hub(database: Database) -> None:
    put(database, [signal(f"u{n}", n, ("user", f"u{n}"), IP) for n in range(12)])
    put(database, [claim("f", 20, "high", HOST, IP)])
    assert [len(p) for p in partition(database)] == [13]


def test_another_tenants_claim_never_joins_nor_is_brought_in_as_a_part(database: Database) -> None:
    theirs = replace(signal("theirs", 0, HOST), tenant_id="bolt")
    put(database, [theirs, claim("mine", 1, "high", HOST), signal("p", 0, USER)])
    put(database, [claim("story", 2, "high", HOST, parts=["theirs", "p"])])
    assert partition(database) == {frozenset({"mine", "story", "p"})}
    assert partition(database, "bolt") == set()


def test_four_workers_at_once_make_one_incident_of_one_story(database: Database) -> None:
    told = [claim(f"f{n}", n, "high", HOST) for n in range(12)]
    with database.writer() as tx:
        insert_findings(tx, told)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda f: put(database, [f], keep=False), told))
    assert [len(p) for p in partition(database)] == [12]


@pytest.mark.parametrize(
    "bad",
    [
        {"parts": ("x",)},
        {"links": (("host", "a\x00b"),)},
        {"links": (("host",),)},
        {"level": "terrible"},
        {"time_us": 2**62},
    ],
)
def test_a_claim_that_is_none_is_refused(database: Database, bad: dict[str, object]) -> None:
    data = asdict(claim("f", 0, "high", HOST)) | bad
    scope = system_scope("acme", "incidents")
    with pytest.raises(InvalidInput), database.app(scope) as tx:
        handle(scope, tx, Event(str(data["finding_id"]), "t", "findings", data))


def a_month(seed: int, size: int) -> list[Finding]:
    """Give random claims about few hosts, users and addresses, some tied by correlations."""
    dice = random.Random(seed)
    few = [("host", f"WS-{n}") for n in range(8)] + [("user", f"u{n}") for n in range(6)]
    levels: list[Level] = ["low", "low", "low", "medium", "medium", "high", "critical"]
    made: list[Finding] = []
    for n in range(size):
        kinds = dice.sample([*few, ("ip", "198.51.100.1"), ("domain", "d.example")], 2)
        level = dice.choice(levels)
        minute = dice.uniform(0, 30 * DAY)
        is_signal = dice.random() < 0.6
        parts: list[str] = []
        if n > 5 and dice.random() < 0.08:
            is_signal, parts = False, [f.title for f in dice.sample(made, 3) if not f.parts]
        made.append(
            claim(f"c{n}", minute, level, *kinds[: dice.choice([1, 2])], is_signal=is_signal)
            if not parts
            else claim(f"c{n}", minute, level, kinds[0], parts=parts)
        )
    return made


def expected(claims: Sequence[Finding]) -> set[frozenset[str]]:
    """Say by the definition, slowly, which claims are one incident."""
    names = {
        f.finding_id: {canonical(f.entity_type, f.entity), *(canonical(*x) for x in f.links)}
        for f in claims
    }
    tied = {p for f in claims for p in f.parts}
    core = [
        f
        for f in claims
        if f.parts or f.finding_id in tied or (f.kind == "finding" and f.level in GRAVE)
    ]
    group = {f.finding_id: {f.finding_id} for f in core}

    def gap(a: Finding, b: Finding) -> int | None:
        apart = abs(a.time_us - b.time_us)
        shares = names[a.finding_id] & names[b.finding_id]
        return apart if shares and apart <= WINDOW_US else None

    for a, b in combinations(core, 2):
        if b.finding_id in a.parts or a.finding_id in b.parts or gap(a, b) is not None:
            both = group[a.finding_id] | group[b.finding_id]
            for one in both:
                group[one] = both
    opens = {f.finding_id for f in core if f.kind == "finding" and f.level in GRAVE}
    for f in claims:
        if f not in core:
            near = [(g, c.finding_id) for c in core if (g := gap(f, c)) is not None]
            near = [(g, c) for g, c in near if group[c] & opens]
            if near:
                group[min(near)[1]].add(f.finding_id)
    title = {f.finding_id: f.title for f in claims}
    return {frozenset(title[i] for i in g) for g in group.values() if g & opens}


@pytest.mark.parametrize("seed", range(6))
def test_any_order_gives_the_incidents_of_the_definition(database: Database, seed: int) -> None:
    claims = a_month(seed, 90)
    orders = {"t0": sorted(claims, key=lambda f: f.time_us)}
    orders["t1"] = orders["t0"][::-1]
    orders["t2"] = random.Random(seed).sample(claims, len(claims))
    orders["t3"] = random.Random(-seed - 1).sample(claims, len(claims))
    for tenant, order in orders.items():
        database.create_tenant(tenant)
        own = [of_tenant(f, tenant) for f in order]
        with database.writer() as tx:
            insert_findings(tx, own)
        # The repeat in the middle must change nothing.
        put(database, [*own[:60], *own[:10], *own[60:], *own[:5]], keep=False)
    wanted = expected(claims)
    assert len(wanted) > 3
    assert [partition(database, t) == wanted for t in orders] == [True] * 4
