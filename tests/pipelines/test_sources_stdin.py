import io

import pytest

from pipelines.sources.stdin import StdinSource
from storage.errors import InvalidBatch

LINE = b'{"class_uid":1007,"time":1600000000000}\n'


def test_a_stream_is_cut_and_resumes() -> None:
    whole = list(StdinSource(io.BytesIO(LINE * 100), max_bytes=1000).chunks({}))
    assert b"".join(c.value for c in whole) == LINE * 100
    again = StdinSource(io.BytesIO(LINE * 100), max_bytes=1000)
    assert list(again.chunks({whole[0].source: whole[1].offset})) == whole[2:]


def test_an_unknown_stream_is_refused() -> None:
    with pytest.raises(InvalidBatch, match="standard input"):
        list(StdinSource(io.BytesIO(b"\x89PNG")).chunks({}))
