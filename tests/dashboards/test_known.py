"""Ids of the books are shown by the names people know, within the tenant and the role."""

from dashboards.read.known import names_of
from dashboards.read.names import Key
from storage.tenant import Role, Scope
from tests.dashboards.conftest import House
from tests.dashboards.test_money_pages import hold_of


def test_names_are_told_to_whom_the_books_are_open_and_to_nobody_else(house: House) -> None:
    hold_of(house, "acme", "Northwind")
    vendor, bill = Key("vendor", "V-1"), Key("document", "P-1")
    asked = [vendor, bill, Key("vendor", "V-none"), Key("host", "V-1")]

    def told(scope: Scope) -> dict[Key, str]:
        with house.database.app(scope) as tx:
            return names_of(tx, scope, asked)

    def as_role(tenant: str, role: Role) -> Scope:
        return Scope(tenant, house.acme.actor, frozenset({role}))

    assert told(as_role("acme", Role.ANALYST)) == {
        vendor: "Northwind",
        bill: "Payment to Northwind",
    }
    assert told(as_role("bolt", Role.ANALYST)) == {}
