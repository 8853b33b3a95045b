"""Kill -9 between the log's write and the ledger's: nothing is lost, nothing stands twice."""

import os
import subprocess
import sys
import uuid
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from storage.database import Database
from storage.log import Record
from storage.outbox import tell
from storage.settings import Settings
from storage.tenant import Scope
from tests.services import address_of
from tests.shared import ROOT
from tests.storage.relay_child import opened

TOPICS = ("findings", "events.acme", "events.bolt")
RECORDS = 90


def places_of(home: str, tmp_path: Path) -> tuple[str, ...]:
    if home == "sqlite":
        return (str(tmp_path / "log.sqlite"),)
    return address_of("kafka"), f"test-{uuid.uuid4().hex[:12]}."


@pytest.mark.parametrize("home", ["sqlite", "kafka"])
def test_a_relay_killed_between_its_two_writes_loses_and_doubles_nothing(
    home: str,
    settings: Settings,
    database: Database,
    two_tenants: tuple[Scope, Scope],
    tmp_path: Path,
) -> None:
    place = places_of(home, tmp_path)
    for number in range(RECORDS):
        with database.app(two_tenants[0]) as tx:
            tell(tx, TOPICS[number % 3], Record(b"k%d" % number, b"v%d" % number))
    environment = os.environ | {"INOPSIO_DATABASE_URL": settings.database_url.reveal()}
    ends = [
        subprocess.run(
            [sys.executable, "-m", "tests.storage.relay_child", die_after, *place],
            cwd=ROOT,
            env=environment,
            timeout=120,
            check=False,
        ).returncode
        for die_after in ("1", "4", "0")
    ]
    assert ends == [-9, -9, 0]
    with closing(opened(*place)) as log:
        kept = Counter(
            message.value
            for topic in TOPICS
            for partition in range(2)
            for message in log.read(topic, partition, 0)
        )
    assert kept == Counter(b"v%d" % number for number in range(RECORDS))
