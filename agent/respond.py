"""Do what the house asks for on this host: checked, allowed, once; told as an event each time.

Whatever brought an order here is not trusted: its signature is checked here, and that it is for
this agent, of now, not done before, and of a kind that this host's settings and policy let through.
"""

import os
import signal
import threading
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final

from agent.act import MOST_MINUTES, Host, Refuses, Told, actions, lasting, left_s, over
from agent.collect._shape import agent_event
from agent.errors import AgentError, BadOrder
from agent.keep import keep
from agent.orders import InForce, Orders, Result, anew_if_damaged
from agent.spool import Spool
from agent.voice import tell, trouble

ROUND_S: Final = 1.0
SKEW_S: Final = 600.0
LONGEST_S: Final = 4 * 3600.0
"""No order is good for longer, whatever it says."""
CRASHED: Final = "the agent ended while this was being done; it is taken back, not done again"
AGAIN_S: Final = 30.0


class Responder:
    """The responding half.

    `opened`: gives the body of a signed order, or raises AgentError if it is not for this agent;
    `allowed`: kinds of actions that may be done now; None while the policy could not be read.
    """

    def __init__(
        self,
        opened: Callable[[str], Mapping[str, Any]],
        spool: Spool,
        host: Host,
        allowed: Callable[[], frozenset[str] | None],
    ) -> None:
        """Find the kinds of actions; nothing is done yet."""
        self._opened, self._spool, self._host = opened, spool, host
        self._allowed = allowed
        self._orders: Orders = host.orders
        self._kinds = actions()
        self._again_s: dict[str, float] = {}
        self.steps = 0
        """Of orders, checks and rounds: while it grows, this half is not hung."""
        self._bodies: dict[str, Mapping[str, Any]] = {}
        self._orders.is_good = self._is_good
        self._orders.unread = self._note_unread
        if self._orders.mended:
            host.news.append({"code": "orders_damaged", "message": self._orders.mended})

    def _note_unread(self, ids: list[str]) -> None:
        text = f"what {len(ids)} rows say is in force cannot be read; they are left out"
        tell(f"{text}: {', '.join(ids)}")
        told = {"code": "orders_damaged", "message": text, "record_count": len(ids)}
        self._host.news.append(told)

    def begin(self) -> None:
        """Tell what a crash interrupted; make so again what is in force, and end what is over."""
        for id_ in self._orders.begun():
            # What the house is told has failed must not be in force.
            for one in self._orders.noted():
                if one.id == id_:
                    self._over(one, CRASHED)
            self._ended(Result(id_, "failed", {"why": CRASHED}), "unknown")
        self._bodies.clear()
        self._sweep()
        for one in self._orders.held():
            self._orders.hold(lasting(one, self._host))
        held = {one.kind for one in self._orders.held()}
        may = self._allowed() if held else None
        if may is not None and not may:
            self._lift_all()
            held = set()
        for kind, module in self._kinds.items():
            if hasattr(module, "put"):
                self._put_again(kind, is_needed=kind in held)

    def _put_again(self, kind: str, *, is_needed: bool) -> None:
        """Make it as the list says; what a crash left behind of what is not in it goes."""
        mine = [one for one in self._orders.held() if one.kind == kind]
        held = [one for one in mine if left_s(one, self._host) > 0]
        try:
            self._kinds[kind].put(held, self._host)
        except (AgentError, OSError) as wrong:
            if is_needed:
                tell(f"'{kind}' could not be put in force again: {wrong}")

    def _is_good(self, one: InForce) -> bool:
        """Answer whether a signed order of the house says this: the file is no proof of it."""
        body = self._bodies.get(one.id)
        if body is None:
            text = self._orders.signed(one.id)
            try:
                body = self._opened(text) if text else {}
            except BadOrder:  # judged; a check that could not be made raises, and is made again
                body = {}
            self._bodies[one.id] = body
            self.steps += 1
        return _says(body, one, self._kinds)

    def _sweep(self) -> None:
        """End what is noted as in force and is not the house's word."""
        noted = self._orders.noted()
        ids = {one.id for one in noted}
        self._bodies = {id_: body for id_, body in self._bodies.items() if id_ in ids}
        for one in noted:
            is_due = self._again_s.get(one.id, 0.0) <= self._host.now_s()
            if is_due and not self._orders.is_good(one):
                self._over(one, "no signed order of the house says it")

    def _lift_all(self) -> None:
        for one in self._orders.held():
            self._over(one, "this host does not take actions any more")

    def round(self) -> int:
        """Do what waits, end what is over; give how many orders were done or refused."""
        done = 0
        for id_, text in self._orders.waiting():
            if self._orders.begin(id_):
                self._one(id_, text)
                self.steps += 1
                done += 1
        self._sweep()
        now_s = self._host.now_s()
        for one in self._orders.held():
            if left_s(one, self._host) <= 0 and self._again_s.get(one.id, 0.0) <= now_s:
                self._over(one, "its time is over")
        # Another process may have taken it back: who stands before the host (`lift`).
        for kind in list(self._host.running):
            self._put_again(kind, is_needed=True)
        self._tell_news()
        self.steps += 1
        return done

    def _tell_news(self) -> None:
        news, now_us = self._host.news, int(self._host.now_s() * 1_000_000)
        rows = [news.popleft() for _ in range(len(news))]
        events = [agent_event(row.pop("code"), now_us, row.pop("message"), **row) for row in rows]
        if events:
            keep(self._spool, events)

    def _over(self, one: InForce, why: str) -> None:
        self._orders.release(one.id)
        try:
            told = self._kinds[one.kind].undo(one, self._host)
        except (AgentError, OSError, KeyError) as wrong:
            now_s = self._host.now_s()
            self._orders.hold(over(one, self._host))
            self._again_s[one.id] = now_s + AGAIN_S
            tell(f"'{one.kind}' could not be ended: {wrong}")
            return
        self._again_s.pop(one.id, None)
        self._tell(one.id, one.kind, "ended", {**told, "why": why})

    def _one(self, id_: str, text: str) -> None:
        kind = "unknown"
        try:
            body = self._checked(id_, text)
            kind = str(body["kind"])
            if hasattr(self._kinds.get(kind), "put"):
                self._orders.keep_signed(id_, text)
                self._bodies[id_] = body
            state, told = "done", self._done(id_, kind, body)
        except (Refuses, _NotNow) as no:
            state, told = "refused", {"why": str(no)}
        except AgentError as wrong:
            is_forged = kind == "unknown"
            state, told = "refused" if is_forged else "failed", {"why": str(wrong)}
        except Exception as wrong:  # noqa: BLE001  the agent's loop: one action must not end the half
            tell(f"action {kind} failed: {trouble(4)}")
            state, told = "failed", {"why": f"{type(wrong).__name__}: {wrong}"[:300]}
        self._ended(Result(id_, state, told), kind)

    def _checked(self, id_: str, text: str) -> Mapping[str, Any]:
        """Give the order's body if it is to be done now; AgentError says why it is not."""
        now_s = self._host.now_s()
        body = self._opened(text)
        at_us, expires_us = body.get("at_us"), body.get("expires_us")
        if body.get("id") != id_ or not isinstance(at_us, int) or not isinstance(expires_us, int):
            raise _NotNow("the order has no id or no time of its own")
        begin_s, end_s = at_us / 1e6, min(expires_us / 1e6, at_us / 1e6 + LONGEST_S)
        if now_s > end_s + SKEW_S:
            raise _NotNow("the order is too old, or this host's clock is off")
        if now_s < begin_s - SKEW_S:
            raise _NotNow("the order is of the future: this host's clock is off")
        return body

    def _done(self, id_: str, kind: str, body: Mapping[str, Any]) -> Told:
        arguments = body.get("arguments")
        if not isinstance(arguments, dict):
            raise Refuses("the order has no arguments")
        if kind == "undo":
            return self._undone(str(arguments.get("action")))
        may = self._allowed()
        if may is None:
            raise Refuses("this host's policy could not be read yet")
        if kind not in may:
            raise Refuses(f"'{kind}' is not let through by this host's settings or its policy")
        module: ModuleType | None = self._kinds.get(kind)
        if module is None:
            raise Refuses(f"this agent knows no action '{kind[:40]}'")
        if body.get("is_dry") is not False:
            return {"dry_run": True, **module.plan(arguments, self._host)}
        told: Told = module.do(id_, arguments, self._host)
        return told

    def _undone(self, action_id: str) -> Told:
        found = [one for one in self._orders.held() if one.id == action_id]
        if not found:
            return {"was_in_force": False}
        (one,) = found
        # First out of the list: what is left in it is what the table will say.
        self._orders.release(one.id)
        try:
            told: Told = self._kinds[one.kind].undo(one, self._host)
        except BaseException:
            self._orders.hold(one)
            raise
        return {"was_in_force": True, **told}

    def _ended(self, result: Result, kind: str) -> None:
        self._orders.end(result)
        self._tell(result.id, kind, result.state, result.told)

    def _tell(self, id_: str, kind: str, state: str, told: Told) -> None:
        now_us = int(self._host.now_s() * 1_000_000)
        why = str(told.get("why", ""))[:300]
        is_dry = bool(told.get("dry_run"))
        text = f"action {kind}{' (dry run)' if is_dry else ''} {state}" + (
            f": {why}" if why else ""
        )
        more = {"action_id": id_, "kind": kind, "state": state, "dry_run": is_dry}
        if "evidence" in told:
            more |= {k: told["evidence"][k] for k in ("source", "sha256", "size_bytes")}
        keep(self._spool, [agent_event("response_action", now_us, text, **more)])


def _says(body: Mapping[str, Any], one: InForce, kinds: Mapping[str, ModuleType]) -> bool:
    """Answer whether an order says what is noted as in force: id, kind, what, and how long."""
    arguments, at_us, module = body.get("arguments"), body.get("at_us"), kinds.get(one.kind)
    if (body.get("id"), body.get("kind")) != (one.id, one.kind) or module is None:
        return False
    if not isinstance(arguments, dict) or not isinstance(at_us, int):
        return False
    most_s = at_us / 1e6 + LONGEST_S + SKEW_S + MOST_MINUTES * 60
    if body.get("is_dry") is not False or one.until_s > most_s:
        return False
    try:
        return bool(not hasattr(module, "says") or module.says(arguments, one))
    except Refuses:
        return False


class _NotNow(AgentError):
    """The order is the house's, but not to be done now."""


def respond(
    responder: Responder,
    stop: threading.Event,
    is_over: Callable[[bool], bool] = lambda _: False,
) -> None:
    """Do what comes until told to stop; what is in force stays, and ends by itself in time.

    `is_over`: asked after each round whether there is nothing to do any more.
    """
    has_begun = False
    while not stop.is_set():
        has_done = True
        try:
            if not has_begun:
                responder.begin()
                has_begun = True
            has_done = responder.round() > 0
        except Exception as wrong:  # noqa: BLE001  the agent's loop: a full disk must not silence it for good
            tell(f"orders could not be worked off: {trouble(3)}")
            anew_if_damaged(wrong)
            stop.wait(AGAIN_S)
        if is_over(has_done):
            stop.set()
        stop.wait(ROUND_S)


def respond_or_end(
    responder: Responder, stop: threading.Event, is_over: Callable[[bool], bool]
) -> None:
    """Respond; should that ever end by itself, the process ends with it and is started anew."""
    try:
        respond(responder, stop, is_over)
    except BaseException:
        tell(f"the responding half ends: {trouble(3)}")
        os.kill(os.getpid(), signal.SIGTERM)
        raise
