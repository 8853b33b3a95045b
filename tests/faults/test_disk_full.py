"""Fill the disk under log and lake, under the lake alone, under the database; then free it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.campaign import ended
from tests.faults.disk import Disk, disk
from tests.faults.house import House, standing
from tests.faults.outage import HEAD, LAG_S, begin, suffer

pytestmark = pytest.mark.slow
_FULL_S = 6.0


@pytest.fixture
def other() -> Iterator[Path]:
    """Give a folder on the ordinary disk."""
    folder = Path(tempfile.mkdtemp(prefix="inopsio-faults-other-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _live_through(house: House, full: Disk, name: str) -> None:
    def back() -> None:
        full.empty()
        if name == "database":
            house.database.start()  # as `inopsio up` does when it has died of it

    begin(house, seed=5, per_s=4)
    seen = suffer(house, f"disk of the {name} full", full.fill, back, _FULL_S)
    end = ended(house, seed=5)
    house.down()
    verdict = end.judged()
    told = f"{HEAD}\n{seen.row()}\n\n{verdict.text()}"
    print(told)
    assert verdict.is_good, told
    assert seen.lag_gone_s <= LAG_S, told
    assert not sum(seen.deaths.values()), told


@pytest.mark.timeout(600)
def test_a_full_disk_of_log_and_lake_loses_nothing(other: Path) -> None:
    with disk(64) as full, standing("embedded", folder=full.place, database_in=other) as house:
        _live_through(house, full, "log")


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_a_full_disk_of_the_lake_loses_nothing(other: Path) -> None:
    with disk(48, other / "lake") as full, standing("embedded", folder=other) as house:
        _live_through(house, full, "lake")


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_a_full_disk_of_the_database_loses_nothing() -> None:
    with disk(256) as full, standing("embedded", database_in=full.place) as house:
        _live_through(house, full, "database")
