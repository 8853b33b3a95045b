import time
from pathlib import Path

from deploy.supervise import FIRST_PAUSE_S, Supervisor, bound
from deploy.up import is_told
from storage.restarts import MOST_DEATHS, restarting
from storage.settings import Settings


def test_a_log_is_bounded_and_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"old\n" * 10)
        bound(log, most_bytes=16)
        writer.write(b"new\n")
    assert log.read_bytes() == b"new\n"
    assert (tmp_path / "api.log.1").read_bytes() == b"old\n" * 10


def test_a_log_that_cannot_be_moved_aside_stays(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_bytes(b"old\n" * 10)
    (tmp_path / "api.log.1").symlink_to("/dev/full")
    bound(log, most_bytes=16)
    assert log.read_bytes() == b"old\n" * 10


def test_a_full_disk_does_not_end_the_watch(tmp_path: Path) -> None:
    nowhere = Settings(data_dir=tmp_path / "gone")
    assert not is_told(nowhere, 0.0, {"api": 1})
    (tmp_path / "gone").mkdir()
    assert is_told(nowhere, 0.0, {"api": 1})


def test_deaths_are_counted_and_told(tmp_path: Path) -> None:
    supervisor = Supervisor(["nobody"], tmp_path, {})
    supervisor.start()
    until_s = time.monotonic() + 30
    while len(supervisor.deaths().get("nobody", [])) < 2 and time.monotonic() < until_s:
        supervisor.tend()
        time.sleep(0.05)
    supervisor.stop()
    first, second = supervisor.deaths()["nobody"]
    assert second - first > FIRST_PAUSE_S
    settings = Settings(data_dir=tmp_path)
    assert is_told(settings, 0.0, {}, {"nobody": [time.time()] * (MOST_DEATHS + 1)})
    assert restarting(tmp_path, time.time()) == {"nobody": MOST_DEATHS + 1}
