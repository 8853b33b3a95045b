"""Lend tests a real house before a real enrolled agent whose halves are run by hand, in turn."""

import base64
import json
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.act import Host
from agent.beat import Beat
from agent.halves import houses, own_pids
from agent.identity import Identity, machine_hash
from agent.ordered import Ordered
from agent.orders import Orders
from agent.policy import Follower, allowed
from agent.respond import Responder
from agent.run import agent_id
from agent.settings import Settings
from agent.ship import Sender, Server
from agent.signed import opened
from agent.spool import Spool
from api.signer import MARK, signer_of
from storage.sealing import Seal
from storage.tenant import Actor, Role, Scope
from tests.api.agents_house import House

ANN = Scope("acme", Actor("user", "ann"), frozenset({Role.ADMIN}))
BEA = Scope("acme", Actor("user", "bea"), frozenset({Role.ANALYST}))
BOLT = Scope("bolt", Actor("user", "bob"), frozenset({Role.ADMIN}))


@dataclass(slots=True)
class Agent:
    """An enrolled agent; nothing of it runs by itself."""

    house: House
    identity: Identity
    said: Settings
    spool: Spool
    orders: Orders
    beat: Beat
    ordered: Ordered
    late_s: float = 0.0
    reach: list[tuple[str, int]] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.identity.agent_id

    def now_s(self) -> float:
        return time.time() + self.late_s

    def reached(self) -> list[tuple[str, int]]:
        return self.reach or houses(self.spool) or [("127.0.0.1", 1)]

    def responder(self) -> Responder:
        """Give the responding half as it is after a start."""
        follower = Follower(self.identity.folder, takes=False)

        def may() -> frozenset[str] | None:
            follower.look()
            return allowed(self.said, follower.policy) if follower.is_known else None

        host = Host(
            self.identity.folder,
            self.orders,
            self.reached,
            lambda: own_pids(self.spool),
            self.now_s,
        )
        made = Responder(
            lambda text: opened(text, self.identity, "action", self.now_s()), self.spool, host, may
        )
        made.begin()
        return made

    def turn(self, responder: Responder | None = None) -> int:
        """Hear, do, tell: two beats with a round of work between; give how much was done."""
        self.beat.beat(self.now_s())
        self.ordered.look()
        done = (responder or self.responder()).round()
        self.beat.beat(self.now_s())
        return done

    def events(self) -> list[dict[str, Any]]:
        """Give what the agent told of itself, and take it from the spool."""
        found = []
        while (batch := self.spool.next_batch()) is not None:
            found += [json.loads(row) for row in batch.rows]
            self.spool.done(batch)
        return [e for e in found if e["class_uid"] == 0]


def enrolled(house: House, name: str, stack: ExitStack, said: Settings | None = None) -> Agent:
    """Enrol a host and give its agent, closed with the stack."""
    identity = house.enroll(name)
    # Its own processes look whether they are on the machine that was enrolled.
    told = identity.folder / "identity.json"
    told.write_text(json.dumps({**json.loads(told.read_text()), "machine": machine_hash()}))
    spool = Spool(identity.folder / "spool.sqlite", 4 << 20)
    orders = Orders(identity.folder / "orders.sqlite")
    sender = Sender(Server(identity.url, identity=identity), agent_id(spool), socket.gethostname())
    for one in (spool, orders, sender):
        stack.callback(one.close)
    given = said or Settings()
    beat = Beat(spool, orders, sender, identity.folder)
    return Agent(
        house, identity, given, spool, orders, beat, Ordered(identity.folder, spool, given)
    )


def signed(to: Agent, **changed: object) -> tuple[str, str]:
    """Have the house sign an order for this agent; give its id and text."""
    now_us = int(time.time() * 1_000_000)
    body = {
        "about": "action",
        "tenant": to.identity.tenant_id,
        "agent": to.id,
        "id": str(uuid.uuid4()),
        "kind": "query",
        "arguments": {"table": "users"},
        "is_dry": False,
        "at_us": now_us,
        "expires_us": now_us + 3_600_000_000,
        **changed,
    }
    desk = to.house.desk
    signer = signer_of(desk.database, Seal.of(desk.settings), desk.now())
    return str(body["id"]), signer.sign(body)


def forged(text: str, change: Callable[[dict[str, Any]], None]) -> str:
    """Give a signed order with something changed in it."""
    told = json.loads(text)
    change(told)
    return json.dumps(told)


def signature_of(key: Ed25519PrivateKey, body: str) -> str:
    return base64.b64encode(key.sign(MARK + body.encode())).decode()


def place_of(agent: Agent, name: str) -> Path:
    return agent.identity.folder / name
