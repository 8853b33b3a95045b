"""Write the reference page of the API from the routes themselves."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from api.app import describe, include_resources


def reference() -> str:
    """Give the page as Markdown: each route, what it asks for, takes and answers."""
    app = FastAPI(openapi_url=None)
    document = describe(app, include_resources(app))
    lines = [
        "# API",
        "",
        "Generated from the routes. Errors are `application/problem+json` (RFC 9457) with a",
        "`trace_id`. Sign in with `POST /v1/session` (cookie; writes need `X-CSRF-Token`), or send",
        "`Authorization: Bearer inop_<tenant>_<secret>`. Lists give `items` and `next`; send that",
        "back as `cursor`. The whole document: `GET /v1/openapi.json`.",
        "",
        "| route | grant | does |",
        "|---|---|---|",
    ]
    operations = list(_operations(document))
    for method, path, operation in operations:
        asked = operation.get("x-grant")
        grant = "none" if asked is None else f"`{asked}`" if asked else "any"
        lines.append(f"| `{method} {path}` | {grant} | {operation['summary']} |")
    for method, path, operation in operations:
        lines += ["", f"## {method} {path}", "", _text(operation), *_details(operation)]
    return "\n".join(lines) + "\n"


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in sorted(document["paths"].items()):
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _text(operation: dict[str, Any]) -> str:
    return str(operation.get("description", operation["summary"]))


def _details(operation: dict[str, Any]) -> Iterator[str]:
    parameters = operation.get("parameters", [])
    if parameters:
        yield from ("", "| parameter | in | meaning |", "|---|---|---|")
    for one in parameters:
        name = f"`{one['name']}`" + (" (required)" if one.get("required") else "")
        yield f"| {name} | {one['in']} | {one.get('description', '')} |"
    for content in operation.get("requestBody", {}).get("content", {}).values():
        if reference := content["schema"].get("$ref"):
            yield from ("", f"Body: `{reference.rsplit('/', 1)[1]}`.")
    codes = ", ".join(sorted(operation["responses"]))
    yield from ("", f"Answers: {codes}.")
