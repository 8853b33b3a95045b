"""Reach the house without its name: all halves know its addresses after a restart too."""

import socket
from dataclasses import replace

import pytest

from agent import doctor
from agent.beat import Beat
from agent.enroll import renew
from agent.errors import Away
from agent.halves import HOUSE, houses
from agent.settings import Settings
from agent.ship import Sender, Server
from agent.updating import _shelf
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


def test_addresses_that_the_name_has_no_more_are_tried_where_it_leads_nowhere(agent: Agent) -> None:
    agent.beat.beat(0.0)
    known = houses(agent.spool)
    # A name that another resolver still answers, with an address that isolation does not keep.
    elsewhere = replace(agent.identity, url="https://127.0.0.2:9")
    sender = Sender(Server(elsewhere.url, identity=elsewhere), "a", socket.gethostname())
    sender.houses = known
    sender.greet()
    sender.close()


def test_a_version_is_looked_for_without_name_servers(agent: Agent) -> None:
    agent.beat.beat(0.0)
    server = Server(NOWHERE, identity=replace(agent.identity, url=NOWHERE))
    shelf = _shelf(Settings(), server, list)
    assert shelf is not None
    with pytest.raises(Away):
        list(shelf.get("release.json", 1000))
    known = [DEAD, *houses(agent.spool)]
    reached = _shelf(Settings(), server, lambda: known)
    assert reached is not None
    assert list(reached.get("release.json", 1000)) == []
    told = {"outcome": "updated", "version": "0.1.0", "serial": 1, "reason": ""}
    reached.post(told)


def test_a_version_elsewhere_is_not_looked_for_at_the_house(agent: Agent) -> None:
    said = Settings(update_url="https://releases.invalid/agent")
    shelf = _shelf(said, Server(agent.identity.url, identity=agent.identity), list)
    assert shelf is not None
    assert (shelf.report, shelf.houses()) == (False, [])


def test_the_doctor_says_that_the_name_is_not_found_and_goes_on(agent: Agent) -> None:
    agent.beat.beat(0.0)
    server = Server(NOWHERE, identity=replace(agent.identity, url=NOWHERE))
    folder = agent.identity.folder
    alone = [(f.name, f.is_ok) for f in doctor.examine(server, folder)][:2]
    assert alone[0] == ("name", False)
    found = [(f.name, f.is_ok) for f in doctor.examine(server, folder, doctor.known(folder))][:5]
    assert found == [
        ("name", False), ("address", True), ("connection", True), ("certificate", True),
        ("certificate", True),
    ]  # fmt: skip
