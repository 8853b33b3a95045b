"""Back a running house up, bring it back elsewhere, and trust no backup that was touched."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from api.agent_packages import held
from deploy.backup import MANIFEST, back_up, check, restore
from deploy.cli import run
from deploy.output import DONE, FAILED, PARTLY, WRONG_USE
from deploy.running import settings_for
from storage.errors import InvalidInput, Unavailable
from tests.deploy.conftest import Place, command, free_port
from tests.shared import ROOT

pytestmark = pytest.mark.slow
SAMPLES = ROOT / "tests" / "samples"


@pytest.fixture(scope="module")
def made(house: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Back the running house up, with events of two tenants in it."""
    for tenant, sample in (("safe1", "cloudtrail/sample.json"), ("safe2", "pcap/sample.pcap")):
        house.call("tenant", "create", tenant)
        house.ingest(tenant, SAMPLES / sample)
    package = tmp_path_factory.mktemp("package") / "inopsio-agent_9.9_amd64.deb"
    package.write_bytes(b"!<arch>\n")
    house.call("agent", "package", "add", str(package))
    place = tmp_path_factory.mktemp("kept") / "backup"
    assert run(["backup", str(place), "--data", str(house.data)]) == DONE
    return place


def test_what_comes_back_is_the_house_and_it_goes_on(
    house: Place, made: Path, tmp_path: Path
) -> None:
    target = Place(_outside(tmp_path) / "house", free_port())
    try:
        assert run(["restore", str(made), "--data", str(target.data)]) == DONE
        assert target.up().returncode == 0
        assert [p.version for p in held(target.data)] == ["9.9"]
        for tenant in ("safe1", "safe2"):
            assert target.events(tenant) == house.events(tenant)
            assert target.events(tenant)[0] > 0
        again = target.ingest("safe1", SAMPLES / "cloudtrail" / "sample.json")
        assert again
        assert target.events("safe1") == house.events("safe1")  # the offsets came along
        target.ingest("safe2", SAMPLES / "zeek_tsv" / "sample.log", code=PARTLY)
        assert target.events("safe2")[0] > house.events("safe2")[0]
    finally:
        target.start("down")
        shutil.rmtree(target.data.parent, ignore_errors=True)


def test_nothing_stands_open(made: Path) -> None:
    modes = {file.name: file.stat().st_mode & 0o077 for file in (made / "keys").iterdir()}
    assert modes
    assert set(modes.values()) == {0}
    assert (made / "log.sqlite").stat().st_mode & 0o077 == 0
    assert made.stat().st_mode & 0o077 == 0
    assert run(["backup", "--check-only", str(made)]) == DONE


@pytest.mark.parametrize("harm", ["changed", "missing", "foreign", "link", "manifest", "version"])
def test_a_backup_that_was_touched_is_refused(made: Path, tmp_path: Path, harm: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    key = next((copy / "keys").iterdir())
    match harm:
        case "changed":
            key.write_bytes(key.read_bytes() + b"x")
        case "missing":
            (copy / "database.dump").unlink()
        case "foreign":
            (copy / "lake" / "more.parquet").write_bytes(b"x")
        case "link":
            key.rename(tmp_path / "key")
            key.symlink_to(tmp_path / "key")
        case "manifest":
            (copy / MANIFEST).write_text("[" * 100_000)
        case _:
            told = json.loads((copy / MANIFEST).read_text())
            (copy / MANIFEST).write_text(json.dumps(told | {"layout": 0}))
    with pytest.raises(InvalidInput):
        check(copy)
    target = tmp_path / "new"
    with pytest.raises(InvalidInput):
        restore(copy, settings_for(target), print)
    assert not target.exists()


def test_tables_that_are_not_what_was_backed_up_are_not_kept(made: Path, tmp_path: Path) -> None:
    copy = _outside(tmp_path) / "copy"
    shutil.copytree(made, copy)
    told = json.loads((copy / MANIFEST).read_text())
    told["tables"]["inopsio.tenants"][1] = "7"
    (copy / MANIFEST).write_text(json.dumps(told))
    target = copy.parent / "house"
    try:
        with pytest.raises(Unavailable, match=r"inopsio\.tenants is not what was backed up"):
            restore(copy, settings_for(target), print)
        assert [one.name for one in copy.parent.iterdir()] == ["copy"]
    finally:
        shutil.rmtree(copy.parent)


def test_what_is_there_is_never_written_over(house: Place, made: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is there already"):
        back_up(house.settings, made, print)
    with pytest.raises(InvalidInput, match="is there already"):
        restore(made, house.settings, print)
    assert run(["backup"]) == WRONG_USE
    assert run(["restore", str(tmp_path), "--data", str(tmp_path / "x")]) in (FAILED, WRONG_USE)


def test_a_killed_backup_leaves_no_folder_of_its_name(house: Place, tmp_path: Path) -> None:
    place = tmp_path / "cut"
    for wait_s in (0.6, 1.2, 2.0):
        words = command("backup", str(place), "--data", str(house.data))
        process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL)
        time.sleep(wait_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if place.exists():
            check(place)
            shutil.rmtree(place)
    assert run(["backup", str(place), "--data", str(house.data)]) == DONE
    assert check(place)["tables"]["inopsio.tenants"][0] >= 1


def _outside(tmp_path: Path) -> Path:
    """Give a folder outside pytest's own: as root, that is closed to the server's user."""
    place = Path("/tmp") / f"inopsio-restored-{os.getpid()}-{tmp_path.name}"
    place.mkdir(mode=0o755)
    return place
