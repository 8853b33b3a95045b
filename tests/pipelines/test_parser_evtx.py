from collections.abc import Iterator
from pathlib import Path

import pytest
from evtx import PyEvtxParser

from pipelines.parsers.evtx import CHUNK_BYTES, HEADER_BYTES, matches, parse, split
from pipelines.parsing import parse_stream
from storage.errors import InvalidBatch
from tests.shared import shared_data


@pytest.fixture(scope="module")
def log() -> bytes:
    """Give a real log of several chunks."""
    files = sorted(shared_data("evtx").rglob("*.evtx"), key=lambda p: (p.stat().st_size, p.name))
    big = (f.read_bytes() for f in files if f.stat().st_size > HEADER_BYTES + 3 * CHUNK_BYTES)
    return next(log for log in big if len(list(split([log], CHUNK_BYTES))) > 3)


def rows(chunks: list[bytes], first: int = 0) -> Iterator[tuple[int, str]]:
    for found in parse(chunks):
        assert not found.rejects
        names = found.frame.columns
        record = found.frame["unmapped.EventRecordID"]
        assert {"unmapped.EventID", "unmapped.Channel", "unmapped.Provider_Name"} <= set(names)
        yield from zip((found.frame["position"] + first).to_list(), record.to_list(), strict=True)


def test_every_event_of_the_decoder_is_there(log: bytes, tmp_path: Path) -> None:
    file = tmp_path / "a.evtx"
    file.write_bytes(log)
    want = sum(1 for _ in PyEvtxParser(str(file)).records_json())
    assert len(list(rows([log]))) == want


def test_cutting_into_messages_changes_nothing(log: bytes) -> None:
    whole = list(rows([log]))
    messages = list(split([log[i : i + 9999] for i in range(0, len(log), 9999)], 70_000))
    assert len(messages) > 1
    assert all(matches(value) == 1.0 for _, value in messages)
    assert [row for first, value in messages for row in rows([value], first)] == whole
    assert list(rows([value for _, value in messages])) == whole


def test_a_corrupt_chunk_becomes_rejects_and_the_rest_goes_on(log: bytes) -> None:
    whole = dict(rows([log]))
    bad = bytearray(log)
    start = HEADER_BYTES + CHUNK_BYTES + 600
    bad[start : start + 60_000] = b"\xff" * 60_000
    found = list(parse([bytes(bad)]))
    kept = {p for f in found for p in f.frame["position"].to_list()}
    assert len(kept) > len(whole) // 2
    assert sum(len(f.rejects) for f in found) >= 1
    assert all(r.reason for f in found for r in f.rejects)


def test_a_cut_off_log_gives_its_whole_chunks_and_a_reject(log: bytes) -> None:
    found = list(parse([log[: HEADER_BYTES + CHUNK_BYTES + 5000]]))
    assert sum(f.frame.height for f in found) > 0
    (reject,) = [r for f in found for r in f.rejects]
    assert "cut off" in reject.reason


def test_what_is_no_log_is_refused() -> None:
    with pytest.raises(InvalidBatch, match="ElfFile"):
        list(parse_stream("evtx", [b"x" * 99], tenant_id="t", source="s", ingested_at_us=1))
