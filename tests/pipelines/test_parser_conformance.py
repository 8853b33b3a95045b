import json
import os
from collections.abc import Iterator
from itertools import repeat
from types import ModuleType

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.parsing import parsers, split_stream, stamp
from storage.errors import InvalidBatch
from storage.schema import MAX_BATCH_ROWS
from tests.pipelines.parser_conformance import (
    FROM_SHARED,
    SAMPLES,
    cut,
    expected_rows,
    moved,
    sample,
    whole,
)

FORMATS = sorted(parsers())
AT_EDGE = [name for name in FORMATS if getattr(parsers()[name], "AT_EDGE", False)]
# A capture or event log is one closed file; its own tests show that it streams.
ENDLESS = [name for name in FORMATS if name not in ("pcap", "evtx")]
TRIES = settings(
    max_examples=100 if os.environ.get("CI") == "true" else 20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(params=FORMATS, name="format")
def format_(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def survives(module: ModuleType, data: bytes) -> None:
    try:
        for part in module.parse([data]):
            assert part.frame.height <= MAX_BATCH_ROWS
            stamp(part.frame, tenant_id="t", source="s", format=module.FORMAT, ingested_at_us=0)
    except InvalidBatch:
        pass


def test_sample_gives_the_expected_rows(format: str) -> None:
    if format in FROM_SHARED:
        pytest.skip("its samples are real logs, which have tests of their own")
    assert (SAMPLES / format / "README.md").read_text()
    expected = json.loads((SAMPLES / format / "expected.json").read_text())
    assert expected_rows(format, sample(format)) == expected


def test_frames_are_legal_and_positions_ascend(format: str) -> None:
    places: list[int] = []
    refused: list[int] = []
    for part in parsers()[format].parse([sample(format)]):
        batch = stamp(part.frame, tenant_id="t", source="s", format=format, ingested_at_us=1 << 60)
        assert len(batch) <= MAX_BATCH_ROWS
        places += batch.frame["position"].to_list()
        refused += [r.position for r in part.rejects]
    assert places == sorted(set(places))
    assert not set(places) & set(refused)


@pytest.mark.parametrize("name", FORMATS)
@TRIES
@given(data=st.data())
def test_chunks_of_any_size_give_the_same_rows(name: str, data: st.DataObject) -> None:
    text = sample(name)
    places = data.draw(st.lists(st.integers(0, len(text)), max_size=12))
    module = parsers()[name]
    assert whole(module.parse(cut(text, places))) == whole(module.parse([text]))


@pytest.mark.parametrize("name", FORMATS)
def test_single_bytes_give_the_same_rows(name: str) -> None:
    text = sample(name)[: 1 << 17]
    module = parsers()[name]

    def rows(chunks: list[bytes]) -> tuple[list[dict[str, object]], list[object], str]:
        parts = []
        try:
            parts += module.parse(chunks)
        except InvalidBatch as wrong:
            return [], [], str(wrong)
        return (*whole(parts), "")  # type: ignore[return-value]  # a reject is an object

    assert rows([text[n : n + 1] for n in range(len(text))]) == rows([text])


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in AT_EDGE])
@pytest.mark.parametrize("max_bytes", [1, 300, 4096, 1 << 20])
def test_messages_parsed_alone_give_the_same_rows(name: str, max_bytes: int) -> None:
    text = sample(name)
    module = parsers()[name]
    places = range(0, len(text), max(max_bytes, 64))
    messages = list(split_stream(name, cut(text, places), max_bytes))
    alone = [moved(part, first) for first, message in messages for part in module.parse([message])]
    assert whole(alone) == whole(module.parse([text]))


@pytest.mark.parametrize("name", FORMATS)
@TRIES
@given(garbage=st.binary(max_size=2000))
def test_random_bytes_are_refused_not_fatal(name: str, garbage: bytes) -> None:
    module = parsers()[name]
    assert 0.0 <= module.matches(garbage) <= 1.0
    survives(module, garbage)
    survives(module, sample(name)[:4096] + garbage)


@pytest.mark.parametrize("name", FORMATS)
@TRIES
@given(data=st.data())
def test_flipped_and_cut_samples_are_refused_not_fatal(name: str, data: st.DataObject) -> None:
    text = bytearray(sample(name))
    for place in data.draw(st.lists(st.integers(0, len(text) - 1), max_size=40)):
        text[place] = data.draw(st.integers(0, 255))
    survives(parsers()[name], bytes(text[: data.draw(st.integers(0, len(text)))]))


def test_no_other_parser_is_as_sure_of_the_sample(format: str) -> None:
    head = sample(format)[: 1 << 16]
    sure = {name: module.matches(head) for name, module in parsers().items()}
    mine = sure.pop(format)
    assert mine > max(sure.values()), (mine, sure)


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_input_is_read_as_it_comes(name: str) -> None:
    fed = 0

    def endless() -> Iterator[bytes]:
        nonlocal fed
        for chunk in repeat(sample(name) + b"\n"):
            fed += len(chunk)
            yield chunk

    records = before = 0
    for part in parsers()[name].parse(endless()):
        assert part.frame.height <= MAX_BATCH_ROWS
        assert fed - before <= 40 << 20
        before = fed
        records += part.frame.height + len(part.rejects)
        if records >= 20_000:
            break


def test_unknown_fields_do_not_widen_frames_without_end() -> None:
    pairs = " ".join(f"key{n}=v" for n in range(5000))
    (part,) = parsers()["cef"].parse([f"CEF:0|V|P|1|1|n|1|{pairs}".encode()])
    assert part.frame.width < 600
    assert "key4999=v" in part.frame.select(pl.col("unmapped.other")).item()
