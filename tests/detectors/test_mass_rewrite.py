"""See that a hundred files with one unusual ending are told, and office work is not."""

from typing import Any

from detectors import mass_rewrite
from storage.schema import Finding
from tests.detectors.streams import START_US, batches, frame_of
from tests.detectors.test_detector_conformance import fold


def _file(second: float, name: str, process: str = "{1}") -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "time_us": START_US + int(second * 1_000_000),
        "class_uid": 1001,
        "activity_id": 1,
        "device.hostname": "FS-01",
        "file.path": name,
        "unmapped.ProcessGuid": process,
    }


def _found(rows: list[dict[str, Any]]) -> list[Finding]:
    return fold(mass_rewrite, batches(frame_of(rows), []))[1]


def _files(count: int, ending: str, seconds: float = 1.0, process: str = "{1}") -> list[Finding]:
    rows = [_file(n * seconds, f"D:\\s\\a{n}.docx.{ending}", process) for n in range(count)]
    return _found(rows)


def test_a_hundred_files_are_told_and_ninety_nine_are_not() -> None:
    assert _files(99, "qz9k") == []
    claim = _files(100, "qz9k")[0]
    assert (claim.level, claim.entity, claim.attack) == ("high", "fs-01", ("T1486",))
    assert len(claim.event_ids) == 21


def test_any_five_minutes_count() -> None:
    for start in range(0, 600, 60):
        rows = [_file(start + n * 2.9, f"D:\\a{n}.qz9k") for n in range(100)]
        assert _found(rows), start


def test_slow_writing_is_not_told() -> None:
    assert _files(400, "qz9k", seconds=10.0) == []


def test_archives_builds_and_counters_are_ordinary() -> None:
    assert [_files(300, ending) for ending in ("zip", "obj", "tmp", "1234")] == [[]] * 4


def test_programs_are_counted_apart() -> None:
    rows = [_file(n, f"D:\\a{n}.qz9k", f"{{{n % 2}}}") for n in range(190)]
    assert _found(rows) == []
