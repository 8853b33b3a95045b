"""Walk every page of a running console and keep a picture of each: `make screens`.

    python -m benchmarks.screens                     bring up a demo house, walk it once its eight
                                                     stories were seen, take it down
    python -m benchmarks.screens --data .inopsio     walk the house that is up in that folder

Each page found by folder is opened in light and dark, 1,440 and 390 px wide, and written to
docs/screens/<page>-<theme>[-narrow].png as a picture of at most 256 colours.
"""

import argparse
import base64
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from api.auth import make_first_link
from benchmarks.palette import palette_png
from dashboards.pages import CONTRACT
from deploy.ground import FIRST_TENANT
from deploy.house import database_of
from deploy.running import running, settings_for
from storage.plugins import discover

OUT: Final = Path("docs/screens")
WIDTHS: Final = {1440: "", 390: "-narrow"}
THEMES: Final = ("light", "dark")
_GRAPH: Final = "/graph"
_HEIGHT: Final = {1440: 900, 390: 844}
_QUIET_MS: Final = 700
_PATIENCE_S: Final = 20.0
_LINK: Final = re.compile(r"/sign-in/once\?token=\S+")
_URL: Final = re.compile(r"Inopsio is up: (\S+)")
_STORY: Final = re.compile(r"^  \[\d\d:\d\d:\d\d\] ", re.MULTILINE)
_STORIES: Final = 8
_SPEED: Final = "240"
"""How fast the company lives for its pictures: its stories are over within some four minutes."""
_STORIES_S: Final = 600.0
_WAITING: Final = ".skeleton, .bone, .ag-overlay-loading-center"
_PIXELS: Final = """async data => {
  const picture = new Image();
  picture.src = "data:image/png;base64," + data;
  await picture.decode();
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const paper = canvas.getContext("2d");
  paper.drawImage(picture, 0, 0);
  const bytes = paper.getImageData(0, 0, picture.width, picture.height).data;
  const told = await new Promise(done => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.readAsDataURL(new Blob([bytes]));
  });
  return [picture.width, picture.height, told.slice(told.indexOf(",") + 1)];
}"""


def command() -> int:
    """Walk; give 0, or 1 when a page could not be shown."""
    given = _arguments().parse_args()
    only = tuple(given.only.split(",")) if given.only else ()
    with _house(given.data, given.port) as (url, link), sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium") or None,
            args=["--no-sandbox", "--disable-gpu", "--hide-scrollbars"],
        )
        state = _signed_in(browser, url + link)
        time.sleep(given.wait)
        failed = [
            name
            for theme in given.themes.split(",")
            for width in (int(w) for w in given.widths.split(","))
            for name in _walk(browser, url, state, theme, width, given.out, only)
        ]
        browser.close()
    for name in failed:
        print(f"not shown: {name}")
    return 1 if failed else 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.screens", description=__doc__)
    parser.add_argument("--data", type=Path, help="data folder of a house that is up")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--only", default="", help="beginnings of paths, parted by ','")
    parser.add_argument("--themes", default=",".join(THEMES))
    parser.add_argument("--widths", default=",".join(map(str, WIDTHS)))
    parser.add_argument("--port", type=int, default=8655, help="of the house brought up for this")
    parser.add_argument("--wait", type=float, default=0.0, help="more seconds for the demo to live")
    return parser


@contextmanager
def _house(data: Path | None, port: int) -> Iterator[tuple[str, str]]:
    """Give the address of the house and the path of a one-time sign-in."""
    if data is not None:
        settings = settings_for(data)
        house = running(settings)
        if house is None:
            raise SystemExit(f"no house is up in {data}; see: inopsio status --data {data}")
        with database_of(settings) as database:
            link = make_first_link(database, FIRST_TENANT)
        if link is None:
            raise SystemExit("this house has people with passwords; walk a demo house instead")
        yield house.url, link
        return
    folder = Path(tempfile.mkdtemp(prefix="inopsio-screens-"))
    words = [sys.executable, "-m", "deploy", "demo", "--data", str(folder), "--port", str(port)]
    words += ["--speed", _SPEED]
    log = folder.with_suffix(".log")
    try:
        with log.open("wb") as out:
            child = subprocess.Popen(words, stdout=out, stderr=out)
        url, path = _told(log, child)
        _wait_for_stories(log, child)
        yield url, path
    finally:
        child.terminate()
        child.wait(60)
        shutil.rmtree(folder, ignore_errors=True)
        log.unlink(missing_ok=True)


def _told(log: Path, child: subprocess.Popen[bytes]) -> tuple[str, str]:
    until = time.monotonic() + 240
    while time.monotonic() < until and child.poll() is None:
        said = log.read_text(errors="replace")
        url, link = _URL.search(said), _LINK.search(said)
        if url and link:
            return url[1], link[0]
        time.sleep(0.3)
    raise SystemExit(f"the demo did not come up:\n{log.read_text(errors='replace')[-2000:]}")


def _wait_for_stories(log: Path, child: subprocess.Popen[bytes]) -> None:
    """Wait until every story was seen, ten minutes at most: what came by then is pictured."""
    until = time.monotonic() + _STORIES_S
    seen = -1
    while time.monotonic() < until and child.poll() is None:
        if (now := len(_STORY.findall(log.read_text(errors="replace")))) > seen:
            seen = now
            print(f"stories seen: {seen} of {_STORIES}", flush=True)
        if seen >= _STORIES:
            break
        time.sleep(1)


def _signed_in(browser: Browser, link: str) -> Path:
    """Sign in once; give the file with the session's cookie that all pages share."""
    place = Path(tempfile.mkdtemp(prefix="inopsio-screens-")) / "state.json"
    context = browser.new_context(ignore_https_errors=True)
    page = context.new_page()
    page.goto(link)
    if page.locator("form button").count():  # a page that asks before it uses up the link
        page.locator("form button").first.click()
    page.wait_for_selector("#page > div", timeout=60_000)
    context.storage_state(path=place)
    context.close()
    return place


def _walk(
    browser: Browser,
    url: str,
    state: Path,
    theme: str,
    width: int,
    out: Path,
    only: tuple[str, ...],
) -> list[str]:
    size = {"width": width, "height": _HEIGHT.get(width, 900)}
    context = browser.new_context(
        storage_state=state,
        viewport={"width": size["width"], "height": size["height"]},
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce",
        ignore_https_errors=True,
    )
    page, blank = context.new_page(), context.new_page()
    out.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    seen: dict[str, None] = {}  # links in the order met: what comes first on a page matters most
    modules = discover("dashboards.pages", CONTRACT)
    plain = sorted((m.PAGE for m in modules.values()), key=_turn)
    needed = {p.under for p in plain if "<" in p.path and (not only or p.path.startswith(only))}
    for one in plain:
        path = one.path
        if "<" in path:
            path = next((href for href in seen if href.startswith(one.stem)), "")
        elif path == _GRAPH:  # it shows something once it is told around what
            path = next((href for href in seen if href.startswith(f"{_GRAPH}?incident")), path)
        if not path or (only and not one.path.startswith(only)):
            if path in needed:
                seen |= dict.fromkeys(_links(page, url + path))
            continue
        name = one.stem.strip("/").replace("/", "-") or "home"
        target = out / f"{name}-{theme}{WIDTHS.get(width, f'-{width}')}.png"
        try:
            seen |= dict.fromkeys(_links(page, url + path))
            _keep(page, blank, target)
        except Exception as error:  # noqa: BLE001  one page must not end the walk
            failed.append(f"{path} ({theme}, {width} px): {str(error)[:200]}")
    context.close()
    return failed


def _turn(page: Any) -> int:  # noqa: ANN401  a page's PAGE, untyped by the discovery
    """Take plain pages first, then those about one thing, the graph of such a thing last."""
    return 2 if page.path == _GRAPH else int("<" in page.path)


def _links(page: Page, address: str) -> list[str]:
    """Open a page, wait until nothing is being fetched; give the addresses it leads to."""
    page.goto(address)
    page.wait_for_selector("#page > div", timeout=30_000)
    until, quiet = time.monotonic() + _PATIENCE_S, 0
    while time.monotonic() < until and quiet < _QUIET_MS:
        page.wait_for_timeout(100)
        is_waiting = page.locator(_WAITING).locator("visible=true").count() > 0
        quiet = 0 if is_waiting else quiet + 100
    told = page.eval_on_selector_all("#page a[href]", "all => all.map(a => a.getAttribute('href'))")
    return [str(href) for href in told if str(href).startswith("/")]


def _keep(page: Page, blank: Page, target: Path) -> None:
    taken = base64.b64encode(page.screenshot()).decode()
    width, height, pixels = blank.evaluate(_PIXELS, taken)
    shown = np.frombuffer(base64.b64decode(pixels), np.uint8).reshape(height, width, 4)[:, :, :3]
    target.write_bytes(palette_png(shown))
    print(f"{target}  {target.stat().st_size >> 10} KB")


if __name__ == "__main__":
    sys.exit(command())
