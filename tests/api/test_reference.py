"""The reference page says what the routes say."""

from api.reference import reference


def test_every_route_and_its_grant_is_on_the_page() -> None:
    assert "| `GET /v1/findings` | `findings:read` | List findings, newest first |" in reference()
    assert "| `GET /v1/health/live` | none | Is the process alive? |" in reference()
