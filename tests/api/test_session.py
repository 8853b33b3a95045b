"""Sign-in, sessions and their ends: by password, by one-time link, by moved clocks."""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import pytest

from api.auth import create_user, make_first_link, session_scope
from storage.database import Database
from storage.database.queries import select
from storage.tenant import Role, system_scope
from tests.api.conftest import Front

WORD = "four green llamas"


def who(name: str = "eve", password: str = WORD, tenant: str = "acme") -> dict[str, str]:
    return {"tenant": tenant, "name": name, "password": password}


@pytest.fixture
def eve(front: Front) -> Front:
    """Make the analyst eve of acme."""
    create_user(front.database, front.acme, "eve", WORD, {Role.ANALYST})
    return front


def trail(front: Front, tenant: str = "acme") -> list[tuple[Any, Any]]:
    nothing = dict.fromkeys(("action", "actor", "before", "before_id"))
    with front.database.app(system_scope(tenant, "test")) as tx:
        rows = select(tx, "audit_page", **nothing, limit=200)
    return [(r["action"], r["result"]) for r in reversed(rows)]


@pytest.mark.parametrize(
    ("url", "cookie", "is_secure"),
    [("http://house", "inopsio=", False), ("https://house", "__Host-inopsio=", True)],
)
def test_the_cookie_is_bound_to_the_host_and_out_of_scripts_reach(
    eve: Front, url: str, cookie: str, is_secure: bool
) -> None:
    client = eve.browser(url=url)
    given = client.post("/v1/session", json=who()).headers["set-cookie"]
    assert given.startswith(cookie)
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= {p.strip() for p in given.split(";")}
    assert ("Secure" in given) == is_secure
    assert "domain" not in given.lower()
    assert client.get("/v1/session").json()["name"] == "eve"


def test_a_plain_cookie_is_not_taken_over_https(eve: Front) -> None:
    plain = eve.browser()
    plain.post("/v1/session", json=who())
    secure = eve.browser(url="https://house")
    secure.cookies.set("inopsio", plain.cookies["inopsio"])
    assert secure.get("/v1/session").status_code == 401


def test_wrong_tenant_name_or_password_get_one_and_the_same_answer(eve: Front) -> None:
    answers = [
        eve.browser().post("/v1/session", json=who(**wrong))
        for wrong in ({"password": "x" * 12}, {"name": "eva"}, {"tenant": "bolt"}, {"tenant": "?"})
    ]
    assert {(a.status_code, a.json()["detail"]) for a in answers} == {
        (401, "tenant, name or password is wrong")
    }
    assert all("set-cookie" not in a.headers for a in answers)


def test_of_100_wrong_tries_at_least_90_are_refused_and_eve_gets_in_later(eve: Front) -> None:
    client = eve.browser()
    tries = [client.post("/v1/session", json=who(password="x" * 12)) for _ in range(100)]
    refused = [t for t in tries if t.status_code == 429]
    assert len(refused) >= 90
    assert 0 < int(refused[0].headers["retry-after"]) <= 300
    assert client.post("/v1/session", json=who()).status_code == 429
    assert eve.browser("203.0.113.9").post("/v1/session", json=who()).status_code == 200
    eve.clock.forward(301)
    assert client.post("/v1/session", json=who()).status_code == 200


def test_tries_at_once_are_counted_before_they_are_answered(eve: Front) -> None:
    with ThreadPoolExecutor(24) as pool:
        send = partial(eve.browser().post, "/v1/session", json=who(password="x" * 12))
        statuses = [f.result().status_code for f in [pool.submit(send) for _ in range(24)]]
    assert statuses.count(401) <= 8
    assert set(statuses) == {401, 429}


def test_the_present_password_cannot_be_guessed_with_a_stolen_session(front: Front) -> None:
    client = front.person(front.acme, "mia", Role.VIEWER)
    new = {"present": "wrong", "password": "a-new-long-passphrase"}
    statuses = [client.put("/v1/session/password", json=new).status_code for _ in range(10)]
    assert statuses == [401] * 8 + [429] * 2
    assert trail(front).count(("user.set-password", "refused")) == 8


def test_a_session_of_another_tenant_in_the_same_browser_ends_too(eve: Front) -> None:
    client = eve.person(eve.bolt, "bob", Role.VIEWER)
    thief = eve.browser()
    thief.cookies.set("inopsio", client.cookies["inopsio"])
    assert thief.get("/v1/session").status_code == 200
    assert client.post("/v1/session", json=who()).status_code == 200
    assert thief.get("/v1/session").status_code == 401


def test_a_session_ends_when_idle_or_old_and_lives_while_used(eve: Front) -> None:
    client = eve.browser()
    client.post("/v1/session", json=who())
    for _ in range(23):
        eve.clock.forward(1790)
        assert client.get("/v1/session").status_code == 200
    eve.clock.forward(1790)
    eve.clock.forward(1000)
    assert client.get("/v1/session").status_code == 401  # 12 h are over
    client.post("/v1/session", json=who())
    eve.clock.forward(1801)
    assert client.get("/v1/session").status_code == 401  # idle


def test_a_planted_session_is_never_adopted_and_the_old_one_ends(eve: Front) -> None:
    planted = "acme." + "A" * 43
    client = eve.browser()
    client.cookies.set("inopsio", planted, domain="house")
    client.post("/v1/session", json=who())
    thief = eve.browser()
    thief.cookies.set("inopsio", planted)
    assert thief.get("/v1/session").status_code == 401
    first = eve.browser()
    first.post("/v1/session", json=who())
    old = first.cookies["inopsio"]
    first.post("/v1/session", json=who())
    thief.cookies.set("inopsio", old)
    assert thief.get("/v1/session").status_code == 401


def test_signing_out_kills_the_session_everywhere(eve: Front) -> None:
    client, copy = eve.browser(), eve.browser()
    word = client.post("/v1/session", json=who()).json()["csrf_token"]
    copy.cookies.set("inopsio", client.cookies["inopsio"])
    assert client.delete("/v1/session").status_code == 403
    assert client.delete("/v1/session", headers={"X-CSRF-Token": word}).status_code == 204
    assert copy.get("/v1/session").status_code == 401
    assert ("session.sign-out", "done") in trail(eve)


def test_a_write_by_cookie_needs_the_sessions_own_csrf_word(front: Front) -> None:
    client = front.person(front.acme, "ada", Role.ADMIN)
    other = front.person(front.acme, "eve", Role.ADMIN)
    good, new = client.headers.pop("X-CSRF-Token"), {"name": "x", "roles": ["viewer"]}
    for wrong in (None, "", "x", other.headers["X-CSRF-Token"]):
        headers = {} if wrong is None else {"X-CSRF-Token": wrong}
        assert client.post("/v1/users", json=new, headers=headers).status_code == 403
    assert client.post("/v1/users", json=new, headers={"X-CSRF-Token": good}).status_code == 201


def test_a_disabled_or_changed_user_is_out_at_once(front: Front) -> None:
    admin, client = (
        front.person(front.acme, "ada", Role.ADMIN),
        front.person(front.acme, "eve", Role.VIEWER),
    )
    eve = next(u for u in admin.get("/v1/users").json()["items"] if u["name"] == "eve")
    admin.patch(f"/v1/users/{eve['user_id']}", json={"disabled": True})
    assert client.get("/v1/session").status_code == 401


def test_only_hashes_of_secrets_are_in_the_database(eve: Front, database: Database) -> None:
    client = eve.browser()
    client.post("/v1/session", json=who())
    secret = client.cookies["inopsio"].partition(".")[2]
    with database.owner() as tx:
        tx.execute("SELECT set_config('inopsio.tenant', 'acme', true)")
        rows = tx.execute("SELECT s::text FROM sessions s UNION ALL SELECT u::text FROM users u")
        text = " ".join(str(r[0]) for r in rows)
    assert secret not in text
    assert secret.encode().hex() not in text
    assert WORD not in text


def test_tries_and_sign_ins_are_in_the_trail_without_the_password(eve: Front) -> None:
    eve.browser().post("/v1/session", json=who(password="wrong wrong wrong"))
    eve.browser().post("/v1/session", json=who())
    assert trail(eve)[-2:] == [("session.sign-in", "refused"), ("session.sign-in", "done")]


def test_a_password_is_changed_only_with_the_present_one_and_ends_sessions(eve: Front) -> None:
    client, copy = eve.browser(), eve.browser()
    word = client.post("/v1/session", json=who()).json()["csrf_token"]
    copy.cookies.set("inopsio", client.cookies["inopsio"])
    headers = {"X-CSRF-Token": word}
    new = {"present": "wrong wrong wrong", "password": "seven blue yaks"}
    assert client.put("/v1/session/password", json=new, headers=headers).status_code == 401
    new["present"] = WORD
    assert client.put("/v1/session/password", json=new, headers=headers).status_code == 204
    assert copy.get("/v1/session").status_code == 401
    assert client.get("/v1/session").status_code == 200
    assert eve.browser().post("/v1/session", json=who()).status_code == 401


def test_the_first_link_signs_in_once_within_the_hour(front: Front) -> None:
    old = make_first_link(front.database, "acme")
    link = make_first_link(front.database, "acme")
    assert old
    assert link
    assert front.browser().get(old).status_code == 401  # a newer one replaces it
    client = front.browser()
    answer = client.get(link)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert client.get("/v1/session").json()["roles"] == ["admin"]
    assert front.browser().get(link).status_code == 401
    late = make_first_link(front.database, "bolt")
    front.clock.now_us = time.time_ns() // 1000 + 3_601_000_000
    assert late
    assert front.browser().get(late).status_code == 401


def test_no_link_is_made_once_somebody_can_sign_in(eve: Front) -> None:
    assert make_first_link(eve.database, "acme") is None


def test_a_link_is_no_token_and_a_token_no_link(front: Front) -> None:
    link = make_first_link(front.database, "acme")
    assert link
    secret = link.partition("token=")[2]
    for text in (secret, secret.replace("once_", "inop_")):
        headers = {"Authorization": f"Bearer {text}"}
        assert front.browser().get("/v1/session", headers=headers).status_code == 401
    bearer = front.bearer(front.acme, Role.ADMIN).headers["authorization"].split()[1]
    url = "/sign-in/once?token=" + bearer.replace("inop_", "once_")
    assert front.browser().get(url).status_code == 401


def test_the_page_signs_in_and_goes_on_only_to_our_own_pages(eve: Front) -> None:
    for wanted, reached in (("/incidents", "/incidents"), ("//evil.example", "/"), ("x:y", "/")):
        answer = eve.browser().post("/sign-in", params={"next": wanted}, data=who())
        assert (answer.status_code, answer.headers["location"]) == (303, reached)


def test_the_page_shows_what_was_typed_as_text(eve: Front) -> None:
    typed = '"><script>alert(1)</script>'
    answer = eve.browser().post("/sign-in", params={"next": typed}, data=who(name=typed))
    assert answer.status_code == 401
    assert "<script" not in answer.text


@pytest.mark.parametrize("path", ["/", "/incidents", "/_dash-layout", "/_dash-dependencies"])
def test_pages_are_behind_the_sign_in(eve: Front, path: str) -> None:
    answer = eve.browser().get(path)
    if path.startswith("/_"):
        assert answer.status_code == 401
    else:
        assert answer.headers["location"] == f"/sign-in?next={path}"
    client = eve.browser()
    client.post("/v1/session", json=who())
    assert client.get(path).status_code == 404  # let in; no pages are mounted here


def test_pages_find_the_scope_by_cookies(eve: Front) -> None:
    client = eve.browser()
    client.post("/v1/session", json=who())
    cookies, now_us = dict(client.cookies), eve.clock()
    found = session_scope(cookies, eve.database, now_us=now_us)
    assert found is not None
    assert (found.tenant_id, found.actor.name, found.roles) == (
        "acme",
        "eve",
        frozenset({Role.ANALYST}),
    )
    assert session_scope(cookies, eve.database, is_secure=True, now_us=now_us) is None
    assert session_scope({}, eve.database, now_us=now_us) is None
    assert session_scope({"inopsio": "bolt." + "x" * 43}, eve.database, now_us=now_us) is None


def test_refusals_of_known_people_are_in_the_trail(front: Front) -> None:
    client: httpx.Client = front.person(front.acme, "vic", Role.VIEWER)
    client.get("/v1/users")
    client.get("/v1/findings/0196f000-0000-8000-8000-000000000001")
    assert trail(front).count(("request.refused", "refused")) == 2
