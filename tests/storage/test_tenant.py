import dataclasses

import pytest

from storage.errors import InvalidInput, NotAllowed
from storage.tenant import MAY, Actor, Role, Scope, system_scope, tenant_name

_ANN = Actor("user", "ann")


@pytest.mark.parametrize("name", ["a", "acme", "acme-2", "a" * 63])
def test_good_tenant_names_pass(name: str) -> None:
    assert tenant_name(name) == name


_PLAIN = ["", "Acme", "2acme", "-a", "a" * 64, "a_b", "a b", "../a", "a'--", "a\n", "a\x00"]
_FOREIGN = ["\u00e4cme", "\u0430cme", "a\u0660", "\u24d0"]


@pytest.mark.parametrize("name", [*_PLAIN, *_FOREIGN])
def test_bad_tenant_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="tenant id"):
        tenant_name(name)


def test_every_role_has_its_grants_and_no_other() -> None:
    assert set(MAY) == set(Role)
    for role, grants in MAY.items():
        scope = Scope("acme", _ANN, frozenset({role}))
        everything = frozenset().union(*MAY.values())
        assert {g for g in everything if scope.may(g)} == grants


def test_deny_is_the_default() -> None:
    nobody = Scope("acme", _ANN, frozenset())
    assert not any(nobody.may(grant) for grants in MAY.values() for grant in grants)
    everyone = Scope("acme", _ANN, frozenset(Role))
    assert not everyone.may("findings:delete")
    assert not everyone.may("")


def test_a_refusal_names_who_what_and_where() -> None:
    scope = Scope("acme", _ANN, frozenset({Role.VIEWER}))
    scope.require("findings:read")
    with pytest.raises(NotAllowed, match="ann may not 'hunt:run' in tenant 'acme'"):
        scope.require("hunt:run")


def test_rights_that_must_stay_apart_stay_apart() -> None:
    assert MAY[Role.INGEST] == {"events:write"}, "a shipper reads nothing"
    assert not any(g.endswith(":write") for g in MAY[Role.VIEWER] | MAY[Role.AUDITOR])
    assert [r for r in Role if "tenants:write" in MAY[r]] == [Role.OPERATOR]
    assert {r for r in Role if "audit:read" in MAY[r]} == {Role.ADMIN, Role.AUDITOR}


def test_a_scope_has_no_default_and_the_houses_own_is_checked() -> None:
    assert all(f.default is dataclasses.MISSING for f in dataclasses.fields(Scope))
    with pytest.raises(InvalidInput):
        system_scope("../acme", "incidents")
    assert system_scope("acme", "incidents").actor == Actor("system", "incidents")
