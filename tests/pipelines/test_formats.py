import pytest

from pipelines.formats import detect_format
from storage.errors import InvalidBatch
from tests.shared import shared_data


@pytest.mark.parametrize(
    ("head", "format"),
    [
        (b"ElfFile\x00" + bytes(100), "evtx"),
        (b'{"EventID":1,"Channel":"Security"}', "windows_json"),
        (b'{"winlog":{"event_id":"1"},"ecs":{"version":"8"}}', "windows_json"),
        (b'{"ecs":{"version":"8"},"event":{"category":["file"]}}', "ecs_json"),
        (b'{"class_uid":1007,"time":1}', "ocsf_json"),
        ('{"EventID":1,"Channel":"Security"}'.encode("utf-16"), "windows_json"),
    ],
)
def test_content_tells_the_format(head: bytes, format: str) -> None:
    assert detect_format(head) == format


@pytest.mark.parametrize("head", [b"", b" \n", b"hello", b"\x89PNG\r\n\x1a\n", b"\0" * 999])
def test_the_unknown_is_refused_by_name(head: bytes) -> None:
    with pytest.raises(InvalidBatch, match=r"^odd\.bin: ") as caught:
        detect_format(head, "odd.bin")
    assert "--format" in str(caught.value) or "empty" in str(caught.value)


def test_every_real_event_log_is_known() -> None:
    logs = list(shared_data("evtx").rglob("*.evtx"))
    assert len(logs) > 100
    for log in logs:
        with log.open("rb") as file:
            assert detect_format(file.read(65536)) == "evtx"
