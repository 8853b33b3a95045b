"""Say what the visitor of the demo should look at, and when."""

from collections.abc import Iterable, Iterator
from typing import Final

from deploy.demo.pace import Pace
from deploy.demo.plan import Told
from deploy.demo.rows import Row
from deploy.demo.tale import NEAR_MISS

_LOOK: Final = {
    "vendor_fraud": "a payment to {vendor}, whose account was changed, is stopped: look at why "
    "under Incidents, then at the payment under Payments",
    "phishing": "a macro, a shell, a jump to a server, an archive, an upload: one incident, "
    "with the chain of processes",
    "leaver": "somebody who leaves takes the customer list to a private cloud: Incidents",
    "ghost_vendor": "a vendor is paid to an employee's own account: Incidents",
    "spraying": "one address tries many accounts, gets one, and exports contacts: Incidents",
    "beaconing": "a host calls one address every minute: Findings, detector of regular calls",
    "ransomware": "shadow copies go, hundreds of files get a new ending: Incidents",
    "insider_pricing": "a seller gives a friend 30 percent and more: Incidents",
    "proxy_approval": "somebody approves their own invoice as a colleague: its payment is held",
    "campaign_hijack": "a new key, a strange link, thousands of mails: Incidents",
    "books_walk_out": "an administrator's account carries the ledger away: Incidents",
    "stock_shrinkage": "stock goes at night, as somebody who is at home: Incidents",
    "shadow_service": "customers' records go to a service that nobody bought: Incidents",
}
_CALM: Final = "something that only looks like {0}: there should be no incident of it"


def ends_at(told: Told) -> int:
    """Give the time of the last row by which the story shows, UTC µs."""
    marked = [row.time_us for row in told.rows if row.mark is not None]
    return max(marked or [told.rows[-1].time_us])


def look_at(told: Told) -> str:
    """Say what to look at once the story was told."""
    name = told.tale.name
    if told.tale.kind == NEAR_MISS:
        return _CALM.format(name.replace("_", " "))
    uid = next((name for kind, name in told.tale.entities if kind == "vendor"), "")
    vendor = next((v.name for v in told.tale.company.vendors if v.uid == uid), "a vendor")
    return _LOOK[name].format(vendor=vendor)


def preview(told: Iterable[Told], pace: Pace, story_us: int) -> Iterator[str]:
    """Say in how many minutes each of the stories that are still to come has been told."""
    for one in sorted(told, key=ends_at):
        end = ends_at(one)
        if end > story_us and one.tale.kind != NEAR_MISS:
            minutes = pace.wait_s(story_us, end) / 60
            yield f"  in about {max(1, round(minutes)):>2} min  {look_at(one)}"


class Herald:
    """Notice, while rows go by, which stories have been told."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        """Know of no story yet."""
        self._left: dict[int, tuple[int, Told]] = {}

    def expect(self, told: Iterable[Told], after_us: int) -> None:
        """Wait for these stories, if they end after that moment."""
        for one in told:
            if ends_at(one) > after_us:
                self._left[one.tale.number] = (ends_at(one), one)

    def told(self, rows: Iterable[Row]) -> Iterator[Told]:
        """Give the stories whose last step is among the rows."""
        for row in rows:
            if row.mark is not None and row.mark[0] in self._left:
                end, one = self._left[row.mark[0]]
                if row.time_us >= end:
                    del self._left[row.mark[0]]
                    yield one
