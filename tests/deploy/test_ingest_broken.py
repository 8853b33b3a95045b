"""Send what could be read of a file before the place where it is broken."""

from pathlib import Path

import pytest

from deploy.house import House
from deploy.ingest import Patience, _send
from pipelines.dead_letter import RAW_TOPIC
from pipelines.sources.files import walk
from storage.database import Database
from storage.lake import Lake
from storage.log.memory import MemoryLog
from storage.settings import Settings
from storage.tenant import system_scope
from tests.shared import ROOT


@pytest.fixture
def house(settings: Settings, database: Database, tmp_path: Path) -> House:
    return House(settings, database, MemoryLog(1), Lake(tmp_path))


def test_a_capture_cut_short_gives_the_packets_before_the_cut(house: House, tmp_path: Path) -> None:
    whole = (ROOT / "tests" / "samples" / "pcap" / "sample.pcap").read_bytes()
    (tmp_path / "cut.pcap").write_bytes(whole[:-5])
    items = walk([tmp_path / "cut.pcap"])
    result = _send(house, system_scope("acme", "test"), next(items), None, Patience(house))
    assert "ends inside packet" in str(result.reason)
    assert b"".join(m.value for m in house.log.read(RAW_TOPIC, 0, 0)).count(b"\n") >= 5
