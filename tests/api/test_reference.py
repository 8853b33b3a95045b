"""The reference page says what the routes say."""

from api.reference import reference
from tests.shared import ROOT


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text()
    assert page == reference(), 'write it anew: python -c "...api.reference.reference()"'


def test_every_route_and_its_grant_is_on_the_page() -> None:
    assert "| `GET /v1/findings` | `findings:read` | List findings, newest first |" in reference()
    assert "| `GET /v1/health/live` | none | Is the process alive? |" in reference()
