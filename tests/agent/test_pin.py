"""Trust the authority that root pinned, and no other that the agent's account brings."""

import os
import time
from pathlib import Path

import pytest

from agent.errors import BadOrder
from agent.pin import check, pin_of, put
from agent.signed import opened
from tests.agent.ordered_house import Agent, signed

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a pin is root's")


@pytest.fixture
def pin(agent: Agent, tmp_path: Path) -> Path:
    place = tmp_path / "etc" / "authority.sha256"
    put(place, (agent.identity.folder / "authority.pem").read_text())
    return place


def test_an_order_by_the_pinned_authority_counts_and_by_another_does_not(
    agent: Agent, pin: Path
) -> None:
    id_, text = signed(agent)
    assert opened(text, agent.identity, "action", time.time(), pin)["id"] == id_
    pin.write_text("0" * 64 + "\n")
    with pytest.raises(BadOrder, match="root pinned"):
        opened(text, agent.identity, "action", time.time(), pin)


def test_another_certificate_in_the_file_is_not_trusted(agent: Agent, pin: Path) -> None:
    path, (_, text) = agent.identity.folder / "authority.pem", signed(agent)
    good, own = path.read_text(), (agent.identity.folder / "identity.pem").read_text()
    other = own[own.index("-----BEGIN CERTIFICATE") :]
    for content in (other, other + good, good[:-40] + other, "", "no certificate"):
        path.write_text(content)
        with pytest.raises(BadOrder):
            opened(text, agent.identity, "action", time.time(), pin)


@pytest.mark.parametrize("how", ["another's", "written by all", "another's folder", "a link"])
def test_a_pin_that_others_may_write_is_no_pin(agent: Agent, pin: Path, how: str) -> None:
    authority = (agent.identity.folder / "authority.pem").read_text()
    check(pin, authority)
    if how == "another's":
        os.chown(pin, 4321, 4321)
    elif how == "written by all":
        pin.chmod(0o666)
    elif how == "another's folder":
        os.chown(pin.parent, 4321, 4321)
    else:
        pin.rename(pin.with_name("own"))
        pin.symlink_to(pin.with_name("own"))
    with pytest.raises(BadOrder):
        check(pin, authority)


def test_only_the_units_folder_has_a_pin(tmp_path: Path) -> None:
    assert pin_of(tmp_path) is None
    assert pin_of(Path("/var/lib/inopsio-agent")) == Path("/etc/inopsio-agent/authority.sha256")
    check(tmp_path / "none", "anything")
