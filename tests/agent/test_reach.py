"""Reach the house without its name: all halves know its addresses after a restart too."""

import socket
from dataclasses import replace

import pytest

from agent.beat import Beat
from agent.enroll import renew
from agent.errors import Away
from agent.halves import HOUSE, houses
from agent.ship import Sender, Server
from tests.agent.ordered_house import Agent

NOWHERE = "https://house.invalid:1"
DEAD = ("127.0.0.1", 9)


def test_all_addresses_of_the_name_are_noted_and_the_old_note_is_read(agent: Agent) -> None:
    agent.beat.beat(0.0)
    noted = houses(agent.spool)
    assert noted[0] == agent.beat._sender.houses[0]
    assert agent.spool.note(HOUSE, None) == [list(one) for one in noted]
    agent.spool.set_note(HOUSE, ["192.0.2.1", 8443])
    assert houses(agent.spool) == [("192.0.2.1", 8443)]


def test_events_and_beats_go_out_without_name_servers(agent: Agent) -> None:
    agent.beat.beat(0.0)
    agent.spool.set_note(HOUSE, [list(DEAD), *agent.spool.note(HOUSE, None)])
    nameless = replace(agent.identity, url=NOWHERE)
    sender = Sender(Server(NOWHERE, identity=nameless), "a", socket.gethostname())
    with pytest.raises(Away):
        sender.greet()
    Beat(agent.spool, agent.orders, sender, agent.identity.folder).beat(0.0)
    sender.greet()
    sender.close()


def test_a_certificate_is_renewed_without_name_servers(agent: Agent) -> None:
    agent.beat.beat(0.0)
    nameless = replace(agent.identity, url=NOWHERE)
    with pytest.raises(Away):
        renew(nameless)
    assert renew(nameless, [DEAD, *houses(agent.spool)]).not_after_s > 0
