import io
import resource
from collections.abc import Iterator
from contextlib import suppress

import pytest

from pipelines.archives import Limits, members
from pipelines.formats import detect_format
from pipelines.parsing import parse_stream, split_stream
from storage.errors import InvalidBatch
from tests.pipelines.hostile import GOOD_LINE, corpus

LIMITS = Limits(ratio_floor=1_000_000)


def read(format: str, value: bytes) -> tuple[int, list[str]]:
    """Give (events, reasons) of one stream; InvalidBatch counts as a reason."""
    events, reasons = 0, list[str]()
    try:
        for batch, rejects in parse_stream(
            format, [value], tenant_id="t", source="s", ingested_at_us=1_700_000_000_000_000
        ):
            events += len(batch)
            reasons += [r.reason for r in rejects]
    except InvalidBatch as wrong:
        reasons.append(str(wrong))
    return events, reasons


def read_file(value: bytes) -> tuple[int, list[str]]:
    """Give (events, reasons) of a file of unknown format, archives unfolded."""
    events, reasons = 0, list[str]()
    for member in members(io.BytesIO(value), "f", LIMITS):
        try:
            text = b"".join(member.chunks)
            if member.reason:
                raise InvalidBatch(member.reason)
            found = read(detect_format(text[:65536], member.name), text)
            events, reasons = events + found[0], reasons + found[1]
        except InvalidBatch as wrong:
            reasons.append(str(wrong))
    return events, reasons


@pytest.mark.slow
def test_a_thousand_hostile_inputs_are_refused_with_a_reason_and_the_good_come_out_whole() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    good = wanted = refused = 0
    silent: list[str] = []
    for case in corpus(1000):
        if case.format in (None, "evtx"):
            found = read_file(case.value) if case.format is None else read("evtx", case.value)
            beside = read("ocsf_json", GOOD_LINE * 10)
            events, reasons = beside[0], found[1]
        else:
            # One bad line among ten good ones, in one message.
            message = GOOD_LINE * 5 + case.value + b"\n" + GOOD_LINE * 5
            events, reasons = read(case.format, message)
        good, wanted = good + events, wanted + 10
        refused += bool(reasons)
        if not reasons or not all(reasons):
            silent.append(case.kind)
    assert silent == []
    assert (good, refused) == (wanted, 1000)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    assert grown_mb < 400


def test_cutting_hostile_streams_ends_and_stays_in_bounds() -> None:
    for case in corpus(42):
        for text in (case.value + b"\n" + GOOD_LINE, GOOD_LINE + case.value):
            with suppress(InvalidBatch):
                for position, message in split_stream(case.format or "ocsf_json", [text]):
                    assert position >= 0
                    assert len(message) < 2_000_000


@pytest.mark.parametrize("size", [1, 4096, 10**9])
def test_the_size_of_pieces_changes_nothing(size: int) -> None:
    text = b"".join(c.value[:5000] + b"\n" + GOOD_LINE for c in corpus(28) if c.format != "evtx")
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    found = list(split_stream("ocsf_json", pieces, 8192))
    assert found == list(split_stream("ocsf_json", [text], 8192))


def test_an_endless_stream_is_read_in_flat_memory() -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(400):
            yield GOOD_LINE * 1000

    peak = events = 0
    for batch, _ in parse_stream(
        "ocsf_json", endless(), tenant_id="t", source="s", ingested_at_us=1
    ):
        events += len(batch)
        if events < 100_000:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert events == 400_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 30 * 1024
