"""Tokens: counted, dated, revocable, and never a way up."""

import time

import pytest

from api.auth import create_token, create_user
from storage.errors import InvalidInput, NotAllowed, NotFound
from storage.tenant import Actor, Role, Scope
from tests.api.conftest import Front


def test_a_token_with_uses_works_so_often_and_no_more(front: Front) -> None:
    client = front.bearer(front.acme, Role.VIEWER, uses=2)
    assert [client.get("/v1/session").status_code for _ in range(4)] == [200, 200, 401, 401]


def test_a_token_expires(front: Front) -> None:
    client = front.bearer(front.acme, Role.VIEWER)
    assert client.get("/v1/session").status_code == 200
    front.clock.now_us = time.time_ns() // 1000 + 86_400 * 301 * 1_000_000
    assert client.get("/v1/session").status_code == 401


def test_a_revoked_token_is_worthless_at_once(front: Front) -> None:
    admin = front.person(front.acme, "ada", Role.ADMIN)
    made = admin.post(
        "/v1/tokens", json={"name": "t", "roles": ["viewer"], "ttl_s": 60 * 60 * 24 * 9}
    )
    client = front.browser()
    client.headers["Authorization"] = f"Bearer {made.json()['token']}"
    assert client.get("/v1/session").json()["kind"] == "token"
    (listed,) = admin.get("/v1/tokens").json()["items"]
    assert admin.delete(f"/v1/tokens/{listed['token_id']}").status_code == 204
    assert client.get("/v1/session").status_code == 401
    assert admin.delete(f"/v1/tokens/{listed['token_id']}").status_code == 404


def test_nobody_makes_operators_but_operators(front: Front) -> None:
    admin = front.person(front.acme, "ada", Role.ADMIN)
    new = {"name": "up", "roles": ["operator"]}
    assert admin.post("/v1/users", json=new).status_code == 403
    assert admin.post("/v1/tokens", json={**new, "ttl_s": 60}).status_code == 403
    (me,) = admin.get("/v1/users").json()["items"]
    assert (
        admin.patch(f"/v1/users/{me['user_id']}", json={"roles": ["operator"]}).status_code == 403
    )
    assert admin.patch(f"/v1/users/{me['user_id']}", json={"roles": ["admin"]}).status_code == 422


@pytest.mark.parametrize("field", ["tenant_id", "is_admin", "user_id", "disabled"])
def test_fields_that_are_not_offered_are_refused(front: Front, field: str) -> None:
    admin = front.person(front.acme, "ada", Role.ADMIN)
    new = {"name": "x", "roles": ["viewer"], field: "bolt"}
    assert admin.post("/v1/users", json=new).status_code == 422


@pytest.mark.parametrize(
    ("ttl_s", "uses", "name", "roles"),
    [
        (0, None, "t", {Role.INGEST}),
        (10**9, None, "t", {Role.INGEST}),
        (60, 0, "t", {Role.INGEST}),
        (60, None, "", {Role.INGEST}),
        (60, None, "sign-in:admin", {Role.INGEST}),
        (60, None, "t", set()),
    ],
)
def test_a_token_without_end_name_or_role_is_not_made(
    front: Front, ttl_s: int, uses: int | None, name: str, roles: set[Role]
) -> None:
    with pytest.raises(InvalidInput):
        create_token(front.database, front.acme, name, roles, ttl_s, uses)


def test_accounts_and_tokens_need_the_grant_and_a_tenant(front: Front) -> None:
    viewer = Scope("acme", Actor("user", "vic"), frozenset({Role.VIEWER}))
    with pytest.raises(NotAllowed):
        create_token(front.database, viewer, "t", {Role.VIEWER}, 60)
    with pytest.raises(NotAllowed):
        create_user(front.database, viewer, "x", None, {Role.VIEWER})
    nowhere = Scope("absent", Actor("system", "cli"), frozenset({Role.OPERATOR}))
    with pytest.raises(NotFound):
        create_user(front.database, nowhere, "x", None, {Role.VIEWER})
    create_user(front.database, front.acme, "x", None, {Role.VIEWER})
    with pytest.raises(InvalidInput, match="exists already"):
        create_user(front.database, front.acme, "x", None, {Role.VIEWER})
