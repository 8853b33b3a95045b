"""See which rules cover a technique: those that run, one's own too, and nobody else's."""

from dashboards.read.coverage import Coverage, coverage
from storage.tenant import Role, Scope
from tests.dashboards.conftest import House

OWN = """title: Kiosk shell opened
id: 11111111-2222-4333-8444-0000000000c0
level: high
tags: [attack.execution, attack.t1674, attack.t1059.001]
logsource: {product: windows, category: process_creation}
detection: {s: {Image|endswith: odd.exe}, condition: s}
"""


def covered(house: House, scope: Scope, technique: str) -> list[str]:
    found: Coverage = coverage(house.database, house.settings, scope)
    every = [t for of in found.by_tactic.values() for t in of] + found.unknown
    return sorted({title for t in every if t.technique == technique for title, _ in t.rules})


def test_a_rule_of_ones_own_covers_while_it_runs(filled: House) -> None:
    person = filled.person(filled.acme, "p", Role.ANALYST)
    rule_id = person.post("/v1/rules", json={"text": OWN}).json()["rule_id"]
    assert "Kiosk shell opened" in covered(filled, filled.acme, "T1059")
    assert "Kiosk shell opened" not in covered(filled, filled.bolt, "T1059")
    person.patch(f"/v1/rules/{rule_id}", json={"enabled": False})
    assert "Kiosk shell opened" not in covered(filled, filled.acme, "T1059")


def test_every_tactic_has_its_column_and_known_techniques_without_a_rule_are_told(
    filled: House,
) -> None:
    found = coverage(filled.database, filled.settings, filled.acme)
    assert len(found.by_tactic) == 14
    assert 20 < found.covered < found.known
    person = filled.person(filled.acme, "p", Role.VIEWER)
    shown = filled.open(person, "/coverage")
    assert "That did not work" not in shown
    assert "without a rule" in shown
    assert "Initial Access" in shown
    assert len(shown) < 300_000
    # Dash's renderer takes the square of it: 5,000 components were 40 s of script.
    assert shown.count('"props"') < 1_200


def test_a_technique_that_the_table_does_not_know_is_shown_all_the_same(filled: House) -> None:
    person = filled.person(filled.acme, "p", Role.ANALYST)
    text = OWN.replace("t1674", "t9674").replace("c0", "c1")
    assert person.post("/v1/rules", json={"text": text}).status_code == 201
    assert "T9674" in filled.open(person, "/coverage")
