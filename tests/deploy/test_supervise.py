from pathlib import Path

from deploy.supervise import bound
from deploy.up import is_told
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
