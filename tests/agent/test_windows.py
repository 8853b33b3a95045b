"""Install the MSI on a Windows (wine's), run its service against a real house, take it away."""

import json
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.version import version
from api.agent_policy import PolicyDocument, set_policy
from deploy.agent.windows.msi import pack
from deploy.agent.windows.tree import make
from tests.agent.clean_root import needed
from tests.agent.gate import Gate
from tests.agent.ordered_house import ANN
from tests.agent.windows_host import NEEDED, WindowsHost, arrived, gaps, until
from tests.api.agents_house import House

MOST_PACKED, MOST_INSTALLED = 20 << 20, 60 << 20
NEWER = "99.0.0"

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class Made:
    """The MSI of this version and of a newer one, made once."""

    msi: Path
    newer: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    needed(*NEEDED, as_root=False)
    work = tmp_path_factory.mktemp("msi")
    given = os.environ.get("INOPSIO_AGENT_TREE")
    tree = Path(given) if given else work / "tree"
    if not given:
        make(tree, work, version())
    found = Made(work / "agent.msi", work / "newer.msi")
    pack(tree, work, version(), found.msi)
    pack(tree, work, NEWER, found.newer)
    return found


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WindowsHost]:
    needed(*NEEDED, as_root=False)
    host = WindowsHost(tmp_path_factory.mktemp("host") / "windows")
    yield host
    host.end()


def codes(house: House) -> list[str]:
    return [e["metadata"].get("event_code", "") for e in arrived(house)]


@pytest.fixture
def gate(house: House) -> Iterator[Gate]:
    made = Gate(house.url)
    yield made
    made.end()


def install(windows: WindowsHost, msi: Path, house: House, url: str) -> None:
    """Install as the console's command does; the installer's log must not have the token."""
    token = house.token(host="win-1")
    said = windows.install(msi, url=url, token=token, ca_fingerprint=house.fingerprint)
    assert token not in said


def test_the_msi_installs_enrols_runs_survives_kills_and_leaves_no_trace(
    made: Made, windows: WindowsHost, house: House, gate: Gate
) -> None:
    assert made.msi.stat().st_size <= MOST_PACKED
    before = windows.traces()
    install(windows, made.msi, house, gate.url)
    assert sum(p.stat().st_size for p in windows.program.rglob("*")) <= MOST_INSTALLED
    assert "RUNNING" in windows.service("query")
    assert any("ImagePath" in line and r'"\"C:\\' in line for line in windows.traces())

    wanted = {1007, 4001, 5002}
    until(lambda: wanted <= {e["class_uid"] for e in arrived(house)}, "its first looks arrive")
    launched = [e for e in arrived(house) if (e["class_uid"], e["activity_id"]) == (1007, 1)]
    assert any("inopsio-agentd.exe" in (e["process"]["cmd_line"] or "") for e in launched)
    assert {e["device"]["os"]["name"] for e in launched} == {"Windows"}
    # As far as wine keeps rights: others have none in the folder of the keys.
    assert windows.log.parent.stat().st_mode & 0o007 == 0
    assert json.loads(windows.log.with_name("identity.json").read_text())["machine"]
    status = json.loads(windows.agent("status").stdout)
    assert status["version"] == version()
    assert status["memory_bytes"] > 1 << 20
    assert "FAIL" not in windows.agent("doctor").stdout

    gate.shut()
    for count in (2, 3):
        windows.kill()
        windows.service("start")
        until(lambda n=count: windows.said().count("ships to") == n, "it has begun")  # type: ignore[misc]  # mypy reads no default
        time.sleep(1)
    windows.service("stop")
    until(lambda: not windows.pids(), "the service has stopped")
    windows.service("start")
    assert "agent_killed" not in codes(house)
    gate.open()
    until(lambda: "agent_stopped" in codes(house), "all is told once the house is back")
    assert codes(house).count("agent_killed") == 2
    assert gaps(house) == []

    windows.uninstall(made.msi)
    assert windows.pids() == []
    assert windows.traces() == before


def test_an_agent_that_waits_is_enrolled_later_obeys_ceiling_and_policy_and_is_upgraded(
    made: Made, windows: WindowsHost, house: House
) -> None:
    off = PolicyDocument.model_validate({"off": ["services"]})
    set_policy(house.database, ANN, off, house.desk.now())
    windows.install(made.msi)
    until(lambda: "not enrolled yet" in windows.said(), "it says what it needs")
    settings = windows.log.with_name("agent.toml")
    settings.write_text("memory_mb = 1\n")
    said = ["--url", house.url, "--ca-fingerprint", house.fingerprint]
    assert windows.agent("enroll", *said, "--token", house.token(host="win-2")).returncode == 0
    until(lambda: not windows.pids(), "over its memory it gives its place up")
    settings.unlink()
    windows.service("start")  # on Windows its manager does that by itself
    until(lambda: {"agent_begun_anew", "policy_applied"} <= set(codes(house)), "all is told")
    assert "agent_killed" not in codes(house)

    # What Windows' installer does before a newer version's files come; wine's leaves the word out.
    windows.uninstall(made.msi, f"UPGRADINGPRODUCTCODE={{{uuid.uuid4()}}}")
    assert windows.log.exists()
    assert not windows.program.exists()
    windows.install(made.newer)
    assert "RUNNING" in windows.service("query")
    until(lambda: "agent_stopped" in codes(house), "the newer one sends what the older one left")
    assert len(house.agents()) == 1
    assert gaps(house) == []
    windows.uninstall(made.newer)
    assert not windows.log.exists()
