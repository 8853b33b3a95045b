"""Make the one web application: routes found by folder, each behind a Scope, errors as problems."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from api.auth.gate import Require, by_credentials
from api.desk import Desk, desk_of, wall_clock_us
from api.door import Door
from api.guard import Guard
from api.problems import PROBLEM_JSON, TITLES, Problem, install
from api.resources import CONTRACT
from storage.audit import write_audit
from storage.database import Database
from storage.errors import InopsioError, NotSignedIn, PluginError, Refused
from storage.lake import Lake
from storage.log import EventLog
from storage.plugins import discover
from storage.settings import Settings
from storage.tenant import Scope

_LOG: Final = structlog.get_logger("api")
VERSION: Final = "1"
INGEST_PATH: Final = "/v1/ingest"
PUBLIC: Final = frozenset(
    {
        ("GET", "/sign-in"),
        ("POST", "/sign-in"),
        ("GET", "/sign-in/once"),
        ("POST", "/v1/session"),
        ("GET", "/v1/health/live"),
        ("GET", "/v1/health/ready"),
    }
)
"""All that answers without a Scope. A longer list is a decision, not a detail."""


def create_app(
    settings: Settings,
    database: Database,
    log: EventLog,
    lake: Lake | None = None,
    now_us: Callable[[], int] = wall_clock_us,
) -> FastAPI:
    """Build the ASGI application; PluginError names a route that asks for no Scope.

    `app.state.script_hashes` (a list) takes the hashes of inline scripts that pages need; other
    pages mounted on the app are behind the sign-in and find their Scope in `request.state.scope`.
    """
    app = FastAPI(
        title="Inopsio",
        version=VERSION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # such a redirect leads to whatever the Host header says
    )
    desk = Desk(settings, database, log, lake, now_us)
    app.state.desk = desk
    app.state.identify = by_credentials
    app.state.script_hashes = []
    routes = include_resources(app)
    app.state.routes = tuple(routes)
    app.state.api = describe(app, routes)
    install(app, audit_refusal)
    app.add_middleware(Guard, desk=desk)
    app.add_middleware(
        Door,
        ingest_path=INGEST_PATH,
        ingest_bytes=settings.ingest_max_bytes,
        script_hashes=app.state.script_hashes,
    )
    return app


def include_resources(app: FastAPI) -> list[APIRoute]:
    """Find the resources by folder, check their routes and put them on the application."""
    routes: list[APIRoute] = []
    for name, module in discover("api.resources", CONTRACT).items():
        found = list(routes_of(module.router, name))
        check_routes(found, name)
        routes += found
        app.include_router(module.router)
    return routes


def routes_of(router: APIRouter, name: str) -> Iterator[APIRoute]:
    """Give the router's routes; PluginError for kinds that could not be checked."""
    for route in router.routes:
        if not isinstance(route, APIRoute):
            raise PluginError(
                f"api/resources/{name}.py: {type(route).__name__} is no plain route; "
                "declare each with @router.get, .post, .patch, .put or .delete"
            )
        yield route


def check_routes(routes: list[APIRoute], name: str) -> None:
    """Pass if every route asks for a Scope, has a summary and is not secretly public."""
    for route in routes:
        for method in sorted(route.methods or ()):
            if grant_of(route) is None and (method, route.path) not in PUBLIC:
                raise PluginError(
                    f"api/resources/{name}.py: {method} {route.path} asks for no Scope; "
                    'add the parameter `scope: Annotated[Scope, require("noun:verb")]`'
                )
        if not route.summary:
            raise PluginError(f"api/resources/{name}.py: {route.path} has no summary")


def grant_of(route: APIRoute) -> str | None:
    """Give the grant a route asks for, '' for any signed-in actor, None if it asks for none."""
    pending: list[Dependant] = [route.dependant]
    while pending:
        one = pending.pop()
        if isinstance(one.call, Require):
            return one.call.grant
        pending += one.dependencies
    return None


def audit_refusal(request: Request, error: Refused) -> None:
    """Write a refused request of a known actor into the tenant's trail."""
    scope = request.scope.get("state", {}).get("scope")
    if not isinstance(scope, Scope) or isinstance(error, NotSignedIn):
        return
    try:
        with desk_of(request).database.app(scope) as tx:
            write_audit(
                tx,
                scope,
                "request.refused",
                f"{request.method} {request.url.path}",
                "refused",
                {"reason": type(error).__name__},
            )
    except InopsioError as failed:
        # The refusal stands either way; that it could not be written down must not be silent.
        _LOG.error("audit_failed", reason=str(failed)[:200])


def describe(app: FastAPI, routes: list[APIRoute]) -> dict[str, Any]:
    """Give the OpenAPI document: problems, security schemes and the grant of each operation."""
    document = get_openapi(
        title="Inopsio",
        version=VERSION,
        summary="Events in, findings and incidents out.",
        routes=app.routes,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    parts = document.setdefault("components", {})
    schemas = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    parts.setdefault("schemas", {}).update(schemas.pop("$defs", {}), Problem=schemas)
    parts["schemas"].pop("HTTPValidationError", None)
    parts["schemas"].pop("ValidationError", None)
    parts["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "`inop_<tenant>_<secret>`"},
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": "__Host-inopsio",
            "description": "`inopsio` without TLS; writes also need the header X-CSRF-Token",
        },
    }
    for route in routes:
        for method in sorted(route.methods or ()):
            operation = document["paths"].get(route.path, {}).get(method.lower())
            if operation is not None:
                _complete(operation, grant_of(route))
    return document


def _complete(operation: dict[str, Any], grant: str | None) -> None:
    answers = operation.setdefault("responses", {})
    expected = [400, 413, 422, 429, 500, 503] + ([] if grant is None else [401, 403, 404])
    for status in {*expected, *(int(s) for s in answers if int(s) >= 400)}:
        answers[str(status)] = {
            "description": TITLES[status],
            "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    if grant is not None:
        operation["security"] = [{"token": []}, {"session": []}]
        operation["x-grant"] = grant
