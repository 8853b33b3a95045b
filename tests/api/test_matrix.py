"""Every route x every role x every tenancy: nobody gets an answer that is not theirs.

The list of routes comes from the application itself; a route without a line in `EXPECTED` fails.
"""

from collections.abc import Iterator

import httpx
import pytest
from fastapi import APIRouter

from api.app import PUBLIC, check_routes, grant_of, routes_of
from api.auth import create_token
from storage.database import Database
from storage.errors import PluginError
from storage.tenant import MAY, Role
from tests.api.conftest import Front

EXPECTED = {
    ("GET", "/sign-in"): "public",
    ("POST", "/sign-in"): "public",
    ("GET", "/sign-in/once"): "public",
    ("POST", "/v1/session"): "public",
    ("GET", "/v1/health/live"): "public",
    ("GET", "/v1/health/ready"): "public",
    ("GET", "/v1/session"): "",
    ("DELETE", "/v1/session"): "",
    ("PUT", "/v1/session/password"): "",
    ("GET", "/v1/health/status"): "",
    ("GET", "/v1/openapi.json"): "",
    ("GET", "/v1/metrics"): "ops:read",
    ("POST", "/v1/ingest"): "events:write",
    ("GET", "/v1/events"): "events:read",
    ("GET", "/v1/sources"): "events:read",
    ("GET", "/v1/topology"): "events:read",
    ("GET", "/v1/findings"): "findings:read",
    ("GET", "/v1/findings/{finding_id}"): "findings:read",
    ("GET", "/v1/findings/{finding_id}/exception"): "findings:read",
    ("POST", "/v1/findings/{finding_id}/exception/effect"): "findings:read",
    ("POST", "/v1/findings/{finding_id}/exception"): "rules:write",
    ("GET", "/v1/incidents"): "incidents:read",
    ("GET", "/v1/incidents/{incident_id}"): "incidents:read",
    ("PATCH", "/v1/incidents/{incident_id}"): "incidents:write",
    ("POST", "/v1/incidents/{incident_id}/notes"): "incidents:write",
    ("POST", "/v1/incidents"): "incidents:write",
    ("GET", "/v1/incidents/{incident_id}/timeline"): "incidents:read",
    ("POST", "/v1/incidents/{incident_id}/merge"): "incidents:write",
    ("POST", "/v1/incidents/{incident_id}/unlink"): "incidents:write",
    ("POST", "/v1/hunts"): "hunt:run",
    ("GET", "/v1/rules"): "findings:read",
    ("POST", "/v1/rules"): "rules:write",
    ("GET", "/v1/rules/{rule_id}"): "findings:read",
    ("PATCH", "/v1/rules/{rule_id}"): "rules:write",
    ("DELETE", "/v1/rules/{rule_id}"): "rules:write",
    ("GET", "/v1/rules/{rule_id}/versions"): "findings:read",
    ("POST", "/v1/rules/{rule_id}/rollback"): "rules:write",
    ("GET", "/v1/backtests"): "findings:read",
    ("POST", "/v1/backtests"): "rules:write",
    ("GET", "/v1/backtests/{backtest_id}"): "findings:read",
    ("GET", "/v1/agent-policies"): "ops:read",
    ("GET", "/v1/agent-policy"): "ops:read",
    ("PUT", "/v1/agent-policy"): "policy:write",
    ("GET", "/v1/agents/{agent_id}/policy"): "ops:read",
    ("PUT", "/v1/agents/{agent_id}/policy"): "policy:write",
    ("DELETE", "/v1/agents/{agent_id}/policy"): "policy:write",
    ("GET", "/v1/agent-actions"): "ops:read",
    ("GET", "/v1/agent-actions/{action_id}"): "ops:read",
    ("POST", "/v1/agents/{agent_id}/actions"): "response:ask",
    ("POST", "/v1/agent-actions/{action_id}/approve"): "response:approve",
    ("POST", "/v1/agent-actions/{action_id}/deny"): "response:ask",
    ("POST", "/v1/agent-actions/{action_id}/undo"): "response:ask",
    ("GET", "/v1/evidence"): "evidence:read",
    ("GET", "/v1/evidence/{evidence_id}"): "evidence:read",
    ("GET", "/v1/evidence/{evidence_id}/content"): "evidence:read",
    ("GET", "/v1/risk-scores"): "findings:read",
    ("GET", "/v1/risk-scores/{kind}/{name}"): "findings:read",
    ("GET", "/v1/indicators"): "findings:read",
    ("POST", "/v1/indicators"): "rules:write",
    ("GET", "/v1/indicators/feeds"): "findings:read",
    ("DELETE", "/v1/indicators/feeds/{feed}"): "rules:write",
    ("GET", "/v1/sightings"): "findings:read",
    ("GET", "/v1/subscriptions"): "findings:read",
    ("POST", "/v1/subscriptions"): "rules:write",
    ("PATCH", "/v1/subscriptions/{feed}"): "rules:write",
    ("POST", "/v1/subscriptions/{feed}/poll"): "rules:write",
    ("DELETE", "/v1/subscriptions/{feed}"): "rules:write",
    ("GET", "/v1/indicator-matches"): "findings:read",
    ("GET", "/v1/companies"): "crm:read",
    ("POST", "/v1/companies"): "crm:write",
    ("GET", "/v1/companies/{customer_uid}"): "crm:read",
    ("PATCH", "/v1/companies/{customer_uid}"): "crm:write",
    ("GET", "/v1/contacts"): "crm:read",
    ("POST", "/v1/contacts"): "crm:write",
    ("GET", "/v1/contacts/{contact_uid}"): "crm:read",
    ("PATCH", "/v1/contacts/{contact_uid}"): "crm:write",
    ("GET", "/v1/deals"): "crm:read",
    ("POST", "/v1/deals"): "crm:write",
    ("GET", "/v1/deals/{deal_uid}"): "crm:read",
    ("POST", "/v1/deals/{deal_uid}/stage"): "crm:write",
    ("POST", "/v1/deals/{deal_uid}/discount"): "crm:write",
    ("GET", "/v1/exports"): "crm:read",
    ("POST", "/v1/exports"): "crm:read",
    ("GET", "/v1/users"): "users:write",
    ("POST", "/v1/users"): "users:write",
    ("PATCH", "/v1/users/{user_id}"): "users:write",
    ("GET", "/v1/tokens"): "tokens:write",
    ("POST", "/v1/tokens"): "tokens:write",
    ("DELETE", "/v1/tokens/{token_id}"): "tokens:write",
    ("GET", "/v1/agents"): "ops:read",
    ("GET", "/v1/checks"): "ops:read",
    ("GET", "/v1/agents/approval"): "ops:read",
    ("PUT", "/v1/agents/approval"): "tokens:write",
    ("POST", "/v1/agents/{agent_id}/approve"): "tokens:write",
    ("GET", "/v1/agents/{agent_id}/checks"): "ops:read",
    ("POST", "/v1/agents/tokens"): "tokens:write",
    ("DELETE", "/v1/agents/{agent_id}"): "tokens:write",
    ("GET", "/v1/retention"): "ops:read",
    ("PUT", "/v1/retention/{kind}"): "tenants:write",
    ("DELETE", "/v1/retention/{kind}/{class_uid}"): "tenants:write",
    ("GET", "/v1/audit"): "audit:read",
    ("POST", "/v1/vendors"): "erp:write",
    ("GET", "/v1/vendors"): "erp:read",
    ("GET", "/v1/vendors/{vendor_id}"): "erp:read",
    ("PATCH", "/v1/vendors/{vendor_id}"): "erp:write",
    ("POST", "/v1/vendors/{vendor_id}/bank-account"): "erp:write",
    ("POST", "/v1/invoices"): "erp:write",
    ("GET", "/v1/invoices"): "erp:read",
    ("GET", "/v1/invoices/{invoice_id}"): "erp:read",
    ("POST", "/v1/invoices/{invoice_id}/approve"): "erp:write",
    ("POST", "/v1/payments"): "erp:write",
    ("GET", "/v1/payments"): "erp:read",
    ("GET", "/v1/payments/{payment_id}"): "erp:read",
    ("POST", "/v1/payments/{payment_id}/approve"): "erp:write",
    ("POST", "/v1/payments/{payment_id}/pay"): "erp:write",
    ("POST", "/v1/payments/{payment_id}/hold"): "erp:write",
    ("POST", "/v1/payments/{payment_id}/release"): "payments:release",
    ("GET", "/v1/holds"): "erp:read",
    ("POST", "/v1/items"): "erp:write",
    ("GET", "/v1/items"): "erp:read",
    ("GET", "/v1/items/{item_id}"): "erp:read",
    ("POST", "/v1/items/{item_id}/price"): "erp:write",
    ("POST", "/v1/items/{item_id}/stock"): "erp:write",
}
SOME_ID = "0196f000-0000-8000-8000-000000000001"
GUARDED = {route: grant for route, grant in EXPECTED.items() if grant != "public"}


def call(client: httpx.Client, method: str, path: str) -> int:
    filled = path.replace("{", "\0").split("\0")
    url = "".join(p if "}" not in p else SOME_ID + p.split("}", 1)[1] for p in filled)
    return client.request(method, url).status_code


def operations(front: Front) -> Iterator[tuple[str, str]]:
    for path, methods in front.app.state.api["paths"].items():
        for method in methods:
            yield method.upper(), path


def test_every_route_of_the_openapi_has_a_line_here_and_asks_for_what_it_says(
    front: Front,
) -> None:
    document = front.app.state.api["paths"]
    assert {
        (m, p): document[p][m.lower()].get("x-grant", "public") for m, p in operations(front)
    } == EXPECTED
    hidden = {(m, r.path) for r in front.app.state.routes for m in r.methods}
    assert hidden == set(EXPECTED)


@pytest.mark.parametrize("role", list(Role))
def test_a_role_gets_past_the_door_exactly_where_it_may(front: Front, role: Role) -> None:
    client = front.bearer(front.acme, role)
    for (method, path), grant in GUARDED.items():
        is_let_in = call(client, method, path) != 403
        assert is_let_in == (grant == "" or grant in MAY[role]), (role, method, path)


def test_nobody_gets_in_without_or_with_false_or_foreign_credentials(
    front: Front, database: Database
) -> None:
    stranger, forger, outsider, suspended = (front.browser() for _ in range(4))
    good = create_token(database, front.acme, "good", list(Role), 3600)
    forger.headers["Authorization"] = "Bearer " + good.replace("_acme_", "_bolt_")
    outsider.headers["Authorization"] = "Basic YWRtaW46YWRtaW4="
    suspended.headers["Authorization"] = "Bearer " + create_token(
        database, front.bolt, "t", list(Role), 3600
    )
    with database.owner() as tx:
        tx.execute("UPDATE tenants SET suspended = true WHERE tenant_id = 'bolt'")
    for client in (stranger, forger, outsider, suspended):
        for method, path in GUARDED:
            assert call(client, method, path) == 401, (method, path)


def test_a_route_without_a_scope_does_not_start() -> None:
    router = APIRouter(prefix="/v1")

    @router.get("/leak", summary="Leak")
    def leak() -> str:
        return "everything"

    with pytest.raises(PluginError, match="GET /v1/leak asks for no Scope"):
        check_routes(list(routes_of(router, "leak")), "leak")


def test_a_route_that_cannot_be_checked_does_not_start() -> None:
    router = APIRouter()

    @router.websocket("/live")
    async def live() -> None: ...

    with pytest.raises(PluginError, match="no plain route"):
        list(routes_of(router, "live"))


def test_the_public_list_is_used_up(front: Front) -> None:
    open_routes = {
        (m, r.path) for r in front.app.state.routes if grant_of(r) is None for m in r.methods
    }
    assert open_routes == PUBLIC


def test_every_operation_has_summary_tags_security_and_problem_answers(front: Front) -> None:
    for path, methods in front.app.state.api["paths"].items():
        for method, operation in methods.items():
            place = f"{method} {path}"
            assert operation["summary"], place
            assert operation["tags"], place
            assert ("security" in operation) == ((method.upper(), path) not in PUBLIC), place
            errors = [s for s in operation["responses"] if int(s) >= 400]
            assert {"422", "500", "503"} <= set(errors), place
            for status in errors:
                content = operation["responses"][status]["content"]
                assert "application/problem+json" in content, place


def test_no_answer_schema_holds_a_secret(front: Front) -> None:
    schemas = front.app.state.api["components"]["schemas"]
    for name, schema in schemas.items():
        fields = set(schema.get("properties", {}))
        secret = {f for f in fields if "hash" in f or "password" in f or f == "token"}
        known = {
            "SignIn": {"password"},
            "NewPassword": {"password"},
            "UserMade": {"password"},
            "TokenMade": {"token"},
            "EnrolmentMade": {"token"},
            "UserView": {"has_password"},
            "Body_post_sign_in_post": {"password"},
        }
        assert secret == known.get(name, set()), name


def test_another_tenants_objects_are_not_found(front: Front) -> None:
    admin = front.bearer(front.acme, Role.ADMIN)
    made = admin.post("/v1/users", json={"name": "carl", "roles": ["viewer"]})
    assert made.status_code == 201
    user_id = admin.get("/v1/users").json()["items"][0]["user_id"]
    token_id = admin.get("/v1/tokens").json()["items"][0]["token_id"]
    other = front.bearer(front.bolt, Role.ADMIN)
    assert other.patch(f"/v1/users/{user_id}", json={"disabled": True}).status_code == 404
    assert other.delete(f"/v1/tokens/{token_id}").status_code == 404
    assert admin.get("/v1/users").json()["items"][0]["disabled"] is False
    assert other.get("/v1/users").json() == {"items": []}
