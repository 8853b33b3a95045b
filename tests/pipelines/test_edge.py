from collections.abc import Iterator

import polars as pl
import pytest

from pipelines.edge import as_messages
from pipelines.parsing import parse_stream, split_stream
from storage.errors import InvalidInput
from tests.shared import ROOT

CAPTURE = ROOT / "tests" / "samples" / "pcap" / "sample.pcap"
OURS = {"event_id", "metadata.log_format", "source", "ingested_at", "position"}


def _read(format: str, chunks: Iterator[bytes]) -> pl.DataFrame:
    read = parse_stream(
        format, chunks, tenant_id="t", source="s", name="n", ingested_at_us=1_714_550_400_000_000
    )
    frames = []
    for batch, rejects in read:
        assert not rejects
        frames.append(batch.frame)
    return pl.concat(frames, how="diagonal")


def test_a_capture_travels_as_ocsf_and_arrives_with_the_same_columns() -> None:
    sent_as, messages = as_messages("pcap", iter([CAPTURE.read_bytes()]), 1 << 20, split_stream)
    assert sent_as == "ocsf_json"
    arrived = _read(sent_as, (value for _, value in messages))
    here = _read("pcap", iter([CAPTURE.read_bytes()]))
    assert set(arrived["class_uid"]) == {4001, 4002, 4003}
    told = [c for c in here.columns if c not in OURS and here[c].null_count() < here.height]
    assert arrived.select(told).equals(here.select(told))


def test_logs_travel_as_they_were_sent() -> None:
    text = b'{"class_uid": 4003, "time": 1714550401000}\n'
    sent_as, messages = as_messages("ocsf_json", iter([text]), 1 << 20, split_stream)
    assert (sent_as, [value for _, value in messages]) == ("ocsf_json", [text])


def test_a_broken_capture_is_refused_with_a_reason() -> None:
    head = CAPTURE.read_bytes()[:10]
    with pytest.raises(InvalidInput, match="captur"):
        list(as_messages("pcap", iter([head]), 1 << 20, split_stream)[1])


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(InvalidInput, match="format 'runes' is unknown"):
        as_messages("runes", iter([b""]), 1 << 20, split_stream)
