"""What is kept is read by a tenant's own people, changed by an operator, and nobody else's."""

from storage.tenant import Role
from tests.api.conftest import Front


def test_an_operator_sets_and_a_reader_sees_it(front: Front) -> None:
    operator = front.bearer(front.acme, Role.OPERATOR)
    assert operator.put("/v1/retention/events", json={"keep_days": 30}).status_code == 204
    new = {"keep_days": 7, "class_uid": 4001}
    assert operator.put("/v1/retention/hours", json=new).status_code == 204
    told = front.bearer(front.acme, Role.ADMIN).get("/v1/retention").json()
    seen = [(p["kind"], p["class_uid"], p["keep_days"]) for p in told["items"]]
    assert seen == [("events", 0, 30), ("hours", 4001, 7)]
    assert told["defaults"]["minutes"] == 8
    assert front.bearer(front.bolt, Role.ADMIN).get("/v1/retention").json()["items"] == []


def test_who_may_not_set_it_is_refused(front: Front) -> None:
    admin = front.bearer(front.acme, Role.ADMIN)
    assert admin.put("/v1/retention/events", json={"keep_days": 1}).status_code == 403
    viewer = front.bearer(front.acme, Role.VIEWER)
    assert viewer.get("/v1/retention").status_code == 403


def test_another_tenants_policy_is_not_found_and_odd_ones_are_refused(front: Front) -> None:
    ours = front.bearer(front.acme, Role.OPERATOR)
    ours.put("/v1/retention/events", json={"keep_days": 30})
    theirs = front.bearer(front.bolt, Role.OPERATOR)
    assert theirs.delete("/v1/retention/events/0").status_code == 404
    assert ours.delete("/v1/retention/events/0").status_code == 204
    assert ours.put("/v1/retention/users", json={"keep_days": 1}).status_code == 422
    for odd in ({"keep_days": -1}, {"keep_days": 1, "tenant_id": "bolt"}, {}):
        assert ours.put("/v1/retention/events", json=odd).status_code == 422
