"""See that nothing is undocumented: pages say what the code says, links lead somewhere."""

import re
from pathlib import Path

import pytest

from deploy.reference import FOLDER, PAGES
from storage.settings import reference as settings_page
from storage.telemetry import METRICS
from tests.house.report import sources
from tests.shared import ROOT

MARKDOWN = sorted(p for p in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
_METRIC = re.compile(r"(?:count|gauge)\(\s*\"(inopsio_[a-z_]+)\"")


@pytest.mark.parametrize("name", sorted(PAGES))
def test_reference_page_says_what_the_code_says(name: str) -> None:
    written = (FOLDER / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), "run: python -m deploy.reference"


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    places = [p for p in _LINK.findall(page.read_text(encoding="utf-8")) if "://" not in p]
    assert [p for p in places if not (page.parent / p).exists()] == []


def test_every_metric_in_use_is_declared() -> None:
    used = {
        name
        for path in sources()
        if path.name != "telemetry.py"
        for name in _METRIC.findall(path.read_text(encoding="utf-8"))
    }
    assert used <= {m.name for m in METRICS}


def test_every_setting_is_explained() -> None:
    rows = [line for line in settings_page().splitlines() if line.startswith("| `INOPSIO")]
    assert all(len(row.split("|")[3].strip()) > 15 for row in rows)
