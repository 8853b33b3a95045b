"""Give people a page to sign in, and take the one-time link of a fresh house."""

import html
from string import Template
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from api.auth.people import sign_in
from api.auth.tokens import sign_in_once
from api.desk import desk_of
from api.resources.session import give_cookie
from storage.errors import NotSignedIn, Overloaded

router: Final = APIRouter(tags=["sign-in"])
Next = Annotated[str, Query(max_length=500)]
_PAGE: Final = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sign in · Inopsio</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { display: grid; place-items: center; min-height: 100vh; margin: 0 }
main { width: min(22rem, 90vw) }
h1 { font-size: 1.5rem }
label { display: block; margin-top: 1rem }
input, button { box-sizing: border-box; width: 100%; padding: .6rem; margin-top: .25rem;
  font: inherit; border: 1px solid #767676; border-radius: 8px }
button { margin-top: 1.5rem; background: #1c5fb8; color: #fff; border-color: #1c5fb8 }
.problem { border: 1px solid; border-radius: 8px; padding: .6rem }
</style></head>
<body><main><h1>Inopsio</h1>$problem
<form method="post" action="/sign-in?next=$next">
<label for="tenant">Tenant</label>
<input id="tenant" name="tenant" value="$tenant" autocomplete="organization" required>
<label for="name">Name</label>
<input id="name" name="name" value="$name" autocomplete="username" required>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<button type="submit">Sign in</button>
</form></main></body></html>
""")


@router.get("/sign-in", summary="The sign-in page", response_class=HTMLResponse)
def page(next: Next = "/") -> HTMLResponse:
    """Show the form; it needs no script."""
    return _form(next)


@router.post(
    "/sign-in",
    summary="Sign in by the page's form",
    response_class=RedirectResponse,
    status_code=303,
)
def post(
    request: Request,
    tenant: Annotated[str, Form(max_length=63)],
    name: Annotated[str, Form(max_length=128, pattern=r"^[^\x00]*$")],
    password: Annotated[str, Form(max_length=256)],
    next: Next = "/",
) -> Response:
    """Open a session and go on to the page that was asked for; a wrong try shows the form again."""
    address = request.client.host if request.client else "?"
    try:
        key = sign_in(desk_of(request), tenant, name, password, address)
    except NotSignedIn as error:
        return _form(next, tenant, name, str(error), 401)
    except Overloaded as error:
        again = _form(next, tenant, name, str(error), 429)
        again.headers["Retry-After"] = str(error.retry_after_s)
        return again
    answer = RedirectResponse(own_path(next), 303)
    give_cookie(request, answer, key)
    return answer


@router.get(
    "/sign-in/once",
    summary="Sign in by the one-time link of a fresh house",
    response_class=RedirectResponse,
    status_code=303,
)
def once(request: Request, token: Annotated[str, Query(max_length=200)]) -> RedirectResponse:
    """Open the first administrator's session; the link works once and for one hour."""
    key = sign_in_once(desk_of(request), token)
    answer = RedirectResponse("/", 303)
    give_cookie(request, answer, key)
    return answer


def own_path(wanted: str) -> str:
    """Give a path on this host to go on to, '/' for anything that could lead elsewhere.

    >>> own_path("/findings"), own_path("//evil.example"), own_path("https://evil.example")
    ('/findings', '/', '/')
    """
    plain = wanted.isascii() and wanted.isprintable() and "\\" not in wanted
    return wanted if plain and wanted.startswith("/") and not wanted.startswith("//") else "/"


def _form(
    next: str, tenant: str = "", name: str = "", problem: str = "", status: int = 200
) -> HTMLResponse:
    shown = f'<p class="problem" role="alert">{html.escape(problem)}</p>' if problem else ""
    return HTMLResponse(
        _PAGE.substitute(
            problem=shown,
            next=quote(own_path(next), safe=""),
            tenant=html.escape(tenant, quote=True),
            name=html.escape(name, quote=True),
        ),
        status,
    )
