"""Fix the contract of a page: one file here, found by folder.

A page has three names:

    PAGE: Page                       where it is, what it is called, who may open it
    layout(view) -> component        what is shown first; `view` has the Scope and the URL's parts
    register(console) -> None        its callbacks, each by `console.scoped_callback`
"""

from dataclasses import dataclass
from typing import Final

from dashboards.console import Console
from storage.tenant import Scope

CONTRACT: Final = ("PAGE", "layout", "register")
GROUPS: Final = ("Overview", "Investigate", "Business", "Detection", "Platform")
"""Groups of the navigation, in the order shown."""


@dataclass(frozen=True, slots=True)
class Page:
    """Describe a page: `path` may end in one `<name>` part; `grant` is what its visitor needs.

    `nav` = its place within its `group` of the navigation (0 = not there), `group` one of GROUPS;
    `under` = path of the page whose navigation entry is marked while this one is open; `anew`: the
    page is made anew when the URL's query changes (others change themselves by it).
    """

    path: str
    title: str
    grant: str
    why: str
    icon: str = ""
    nav: int = 0
    under: str = ""
    group: str = "Investigate"
    anew: bool = False

    @property
    def stem(self) -> str:
        """Give the path before its variable part."""
        return self.path.partition("<")[0]

    def match(self, path: str) -> str | None:
        """Give the variable part ('' if the page has none), or None if it is another page.

        >>> Page("/finding/<id>", "Finding", "", "").match("/finding/7")
        '7'
        """
        if "<" not in self.path:
            return "" if path.rstrip("/") == self.path.rstrip("/") else None
        rest = path.removeprefix(self.stem)
        fits = path.startswith(self.stem) and rest and "/" not in rest
        return rest if fits else None


@dataclass(frozen=True, slots=True)
class View:
    """Hand a page what it is asked: whose eyes, which thing (`key`), which query of the URL."""

    console: Console
    scope: Scope
    key: str = ""
    search: str = ""
