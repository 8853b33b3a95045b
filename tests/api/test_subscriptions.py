"""Subscriptions at the front door: kept, paused, polled, dropped; the secret goes in, never out."""

import pytest

from storage.tenant import Role
from tests.api.conftest import Front

CANARY = "s3cr3t-canary"
NEW = {
    "feed": "list",
    "kind": "taxii",
    "url": "https://feeds.example/taxii2/",
    "collection": "best",
    "auth": "basic",
    "secret": f"ann:{CANARY}",
    "every_minutes": 30,
}


def test_a_subscription_is_kept_paused_polled_and_dropped(front: Front) -> None:
    client = front.bearer(front.acme, Role.ANALYST)
    assert client.post("/v1/subscriptions", json=NEW).status_code == 201
    (one,) = client.get("/v1/subscriptions").json()
    assert (one["feed"], one["kind"], one["has_secret"]) == ("list", "taxii", True)
    assert (one["every_minutes"], one["last_error"], one["last_result"]) == (30, "", None)
    place = "/v1/subscriptions/list"
    assert client.patch(place, json={"paused": True}).status_code == 204
    assert client.get("/v1/subscriptions").json()[0]["paused"] is True
    paused = client.post(f"{place}/poll")
    assert (paused.status_code, "let it run first" in paused.text) == (422, True)
    assert client.patch(place, json={"paused": False}).status_code == 204
    assert client.post(f"{place}/poll").status_code == 202
    assert client.delete(place).status_code == 204
    assert client.delete(place).status_code == 404


def test_the_secret_is_in_no_answer_and_no_trail(front: Front) -> None:
    client = front.bearer(front.acme, Role.ANALYST, Role.AUDITOR)
    said = [client.post("/v1/subscriptions", json=NEW).text]
    said += [client.post("/v1/subscriptions", json=NEW | {"kind": "rss"}).text]
    said += [client.post("/v1/subscriptions", json=NEW | {"auth": "none"}).text]
    said += [client.post("/v1/subscriptions", json=NEW | {"feed": "b", "secret": CANARY}).text]
    said += [client.patch("/v1/subscriptions/list", json={"secret": CANARY}).text]
    new = {"auth": "bearer", "secret": CANARY}
    assert client.patch("/v1/subscriptions/list", json=new).status_code == 204
    said += [client.get(path).text for path in ("/v1/subscriptions", "/v1/audit")]
    assert "intel.secret" in said[-1]
    assert CANARY not in "".join(said)


@pytest.mark.parametrize(
    "change",
    [
        {"url": "file:///etc/passwd"},
        {"url": "https://ann:pw@feeds.example/"},
        {"every_minutes": 1},
        {"feed": "a\nb"},
        {"more": 1},
    ],
)
def test_what_could_never_be_polled_is_refused(front: Front, change: dict[str, object]) -> None:
    client = front.bearer(front.acme, Role.ANALYST)
    assert client.post("/v1/subscriptions", json=NEW | change).status_code == 422


def test_another_tenant_has_its_own_and_a_viewer_only_reads(front: Front) -> None:
    client = front.bearer(front.acme, Role.ANALYST)
    client.post("/v1/subscriptions", json=NEW)
    other = front.bearer(front.bolt, Role.ANALYST)
    assert other.get("/v1/subscriptions").json() == []
    assert other.post("/v1/subscriptions/list/poll").status_code == 404
    assert other.patch("/v1/subscriptions/list", json={"paused": True}).status_code == 404
    assert other.delete("/v1/subscriptions/list").status_code == 404
    viewer = front.bearer(front.acme, Role.VIEWER)
    assert len(viewer.get("/v1/subscriptions").json()) == 1
    assert viewer.post("/v1/subscriptions", json=NEW | {"feed": "b"}).status_code == 403


def test_new_indicators_put_one_search_of_the_past_in_line(front: Front) -> None:
    client = front.bearer(front.acme, Role.ANALYST)
    one = {"type": "domain", "value": "bad.example", "valid_from": "2020-01-01T00:00:00Z"}
    for feed in ("a", "b"):
        client.post("/v1/indicators", json={"feed": feed, "indicators": [one]})
    (told,) = client.get("/v1/indicator-matches").json()
    assert (told["status"], told["days"], told["findings"]) == ("queued", 90, 0)
    assert front.bearer(front.bolt, Role.ANALYST).get("/v1/indicator-matches").json() == []
