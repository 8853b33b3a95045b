"""Ask the house what to run and what to do, and tell it what came of it: every few seconds.

Nothing that comes is obeyed here. What is signed is laid down for the halves that check it.
"""

import json
import math
import random
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from agent.act._evidence import FOLDER
from agent.errors import AgentError, Away
from agent.halves import HOUSE, POLICY, houses
from agent.identity import write_private
from agent.orders import Orders, Result, anew_if_damaged
from agent.policy import BEAT_S, OFFERED
from agent.ship import Sender
from agent.spool import Spool
from agent.voice import tell, trouble
from agent.wake import call

PIECE: Final = 512 << 10
LEAST_WAIT_S: Final = 5.0
LONGEST_WAIT_S: Final = 300.0
LOOK_S: Final = 1.0
"""What came of an order is told so soon, whenever the next beat is."""
OK, TAKEN = 200, 204
_REFUSED: Final = frozenset({400, 413, 415, 422})
"""Answers that are the same next time for the same words."""
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Beat:
    """One agent's beat: what it says is read from the spool and the orders, where halves put it."""

    def __init__(self, spool: Spool, orders: Orders, sender: Sender, folder: Path) -> None:
        """Begin; the first beat connects."""
        self._spool, self._orders, self._sender = spool, orders, sender
        self._folder = folder
        self.every_s = float(BEAT_S)
        self._said: dict[str, Any] = {}
        sender.houses = sender.houses or houses(spool)

    def has_news(self) -> bool:
        """Answer whether there is something to tell that the house has not heard."""
        return self._spool.note(POLICY, {}) != self._said or bool(self._orders.untold(1))

    def beat(self, now_s: float) -> int:
        """Beat once; give how many orders came that were not known.

        What the house refuses for one result is sent again without it: no result may keep orders
        and policies away.
        """
        results = [self._handed(result) for result in self._orders.untold()]
        self._said = self._spool.note(POLICY, {})
        status, text = self._say(results)
        count = 0
        if status in _REFUSED and results:
            count = sum(self._told_alone(result, now_s) for result in results)
            results = []
            status, text = self._say([])
        if status in _REFUSED:
            status, text = self._say([], is_bare=True)
        if status != OK:
            raise Away(f"the house answered the beat with {status}")
        self._have_told(results)
        self._note_house()
        return count + self._heard(text, now_s)

    def _say(self, results: list[Result], *, is_bare: bool = False) -> tuple[int, bytes]:
        """Say how this agent is; `is_bare`: only which policy it runs."""
        note = self._said
        said: dict[str, Any] = {"policy_version": int(note.get("version", 0)), "results": []}
        if not is_bare:
            said |= {
                "policy_refused": int(note.get("refused", 0)),
                "policy_reason": _line(str(note.get("reason", ""))),
                "response": list(note.get("response", [])),
                "results": [{"id": r.id, "state": r.state, "result": r.told} for r in results],
            }
        return self._sender.say("/v1/agents/beat", json.dumps(said).encode())

    def _told_alone(self, result: Result, now_s: float) -> int:
        """Tell one result; what the house does not take goes as failed, and then is left."""
        status, text = self._say([result])
        if status in _REFUSED:
            tell(f"the house did not take what came of {result.id}: {status}")
            why = {"why": f"not taken: the house answered its result with {status}"}
            status, text = self._say([result._replace(state="failed", told=why)])
        if status != OK and status not in _REFUSED:
            raise Away(f"the house answered the beat with {status}")
        self._have_told([result])
        return self._heard(text, now_s) if status == OK else 0

    def _have_told(self, results: list[Result]) -> None:
        self._orders.told([r.id for r in results])
        for result in results:
            if _is_id(result.id):
                (self._folder / FOLDER / result.id).unlink(missing_ok=True)

    def _heard(self, text: bytes, now_s: float) -> int:
        try:
            answer: dict[str, Any] = json.loads(text)
            policy, orders = str(answer["policy"]), [str(o) for o in answer["orders"]]
            every_s = float(answer["beat_s"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise Away("the house did not answer the beat as it does") from None
        if math.isfinite(every_s):
            self.every_s = min(max(every_s, LEAST_WAIT_S), LONGEST_WAIT_S)
        if policy:
            write_private(self._folder / OFFERED, policy)
        found = [(_id(order), order) for order in orders]
        count = sum(self._orders.offer(id_, order, now_s) for id_, order in found if id_)
        if self._orders.has_work():
            call(self._folder)
        return count

    def _handed(self, result: Result) -> Result:
        """Send what was collected, piece by piece; a result without it is a failure."""
        path = self._folder / FOLDER / result.id
        if (
            not _is_id(result.id)
            or result.state != "done"
            or "evidence" not in result.told
            or not path.exists()
        ):
            return result
        with path.open("rb") as file:
            for number, piece in enumerate(iter(lambda: file.read(PIECE), b"")):
                place = f"/v1/agents/evidence/{result.id}?number={number}"
                status, _ = self._sender.say(place, piece, "application/octet-stream")
                if status != TAKEN:
                    why = {**result.told, "why": f"the house did not take it: {status}"}
                    return result._replace(state="failed", told=why)
        return result

    def _note_house(self) -> None:
        found = self._sender.houses
        if found and found != houses(self._spool):
            self._spool.set_note(HOUSE, [list(one) for one in found])


def _id(order: str) -> str:
    """Give the id by which an order is kept, '' if it has none: it is the name of a file too.

    The half that does it compares it with the signed one.
    """
    try:
        found = str(json.loads(json.loads(order)["body"])["id"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return found if _is_id(found) else ""


def _is_id(text: str) -> bool:
    """Answer whether it is a UUID as the house writes it.

    >>> _is_id("../identity.pem"), _is_id("7f1e9a52-93a4-4b0c-8f0e-0a3f7c1d2e4b")
    (False, True)
    """
    return _UUID.fullmatch(text) is not None


def _line(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:500]


def keep_beating(
    beat: Beat,
    stop: threading.Event,
    now_s: Callable[[], float],
    wait: Callable[[float], object] | None = None,
) -> None:
    """Beat until told to stop; where the house is away, less and less often."""
    pause, dice, told = wait or stop.wait, random.Random(), ""  # noqa: S311  not a secret
    away_s = 0.0
    while not stop.is_set():
        try:
            beat.beat(now_s())
            away_s, told = 0.0, ""
        except AgentError as gone:
            away_s = min(max(away_s * 2, beat.every_s), LONGEST_WAIT_S)
            if str(gone) != told:
                tell(str(gone))
            told = str(gone)
        except Exception as wrong:  # noqa: BLE001  the agent's loop: a full disk must not silence it for good
            tell(f"the beat failed: {trouble(3)}")
            anew_if_damaged(wrong)
            away_s = LONGEST_WAIT_S
        left_s = (away_s or beat.every_s) * dice.uniform(0.9, 1.1)
        while left_s > 0 and not stop.is_set() and (away_s or not beat.has_news()):
            pause(min(left_s, LOOK_S))
            left_s -= LOOK_S
