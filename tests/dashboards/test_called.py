"""Names for ids: said where the reader may see the books, of the own tenant only."""

from business import erp
from dashboards.read.called import call, names_of
from dashboards.read.names import Key, named_by
from storage.tenant import Actor, Role, Scope
from tests.dashboards.conftest import House

BANK = "DE89370400440532013000"


def _vendor(house: House, tenant: str, name: str) -> None:
    who = Scope(tenant, Actor("user", "olga"), frozenset({Role.OPERATOR, Role.FINANCE}))
    with house.database.app(who) as tx:
        erp.create_vendor(who, tx, erp.NewVendor(name, BANK, "Street 1", "V-1"))


def test_a_claim_about_a_vendor_says_its_name(house: House) -> None:
    _vendor(house, "acme", "Osprey Ltd")
    row = {
        "title": "Paid twice on V-1",
        "entity_type": "vendor",
        "entity": "V-1",
        "links": [["document", "V-1"], ["document", "PAY-7"]],
    }
    with house.database.app(house.acme) as tx:
        call(tx, house.acme, [row])
    assert row["title"] == "Paid twice on Osprey Ltd"
    assert [(k.kind, k.shown) for k in named_by(row)] == [
        ("vendor", "Osprey Ltd"),
        ("document", "PAY-7"),
    ]


def test_names_are_of_the_own_tenant_and_for_readers_of_the_books(house: House) -> None:
    _vendor(house, "bolt", "Canary Ltd")
    key = Key("vendor", "V-1")
    with house.database.app(house.acme) as tx:
        assert names_of(tx, house.acme, [key]) == {}
    seller = Scope("bolt", Actor("user", "sam"), frozenset({Role.SALES}))
    with house.database.app(seller) as tx:
        assert names_of(tx, seller, [key]) == {}
    with house.database.app(house.bolt) as tx:
        assert names_of(tx, house.bolt, [key]) == {"vendor:V-1": "Canary Ltd"}
