"""Bodies are taken apart under caps, and cut so that each piece can be read alone."""

import gzip
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from api.body import cut, decompress
from api.problems import TooLarge, UnknownEncoding
from storage.errors import InvalidInput

MIB = 1 << 20
PLAIN = b'{"a":1}\n' * 50
ZSTD = zstandard.ZstdCompressor()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("", PLAIN),
        ("identity", PLAIN),
        ("gzip", gzip.compress(PLAIN, mtime=0)),
        (" GZIP ", gzip.compress(PLAIN[:80], mtime=0) + gzip.compress(PLAIN[80:], mtime=0)),
        ("zstd", ZSTD.compress(PLAIN)),
        ("zstd", ZSTD.compress(PLAIN[:80]) + ZSTD.compress(PLAIN[80:])),
    ],
)
def test_what_was_compressed_comes_out_again(encoding: str, body: bytes) -> None:
    assert decompress(body, encoding, MIB, 100) == PLAIN


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("cap", [MIB, 64 * MIB])
def test_a_bomb_is_refused_by_size_or_by_ratio(encoding: str, cap: int) -> None:
    zeros = bytes(32 * MIB)
    bomb = gzip.compress(zeros) if encoding == "gzip" else ZSTD.compress(zeros)
    with pytest.raises(TooLarge):
        decompress(bomb, encoding, cap, 100)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_broken_stream_is_invalid_input(encoding: str) -> None:
    whole = gzip.compress(PLAIN) if encoding == "gzip" else ZSTD.compress(PLAIN)
    for body in (b"junk" * 9, whole[:-3], whole[:20] + b"\xff\xff" + whole[22:], whole + b"junk"):
        with pytest.raises(InvalidInput):
            decompress(body, encoding, MIB, 100)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_body_of_countless_empty_parts_is_refused(encoding: str) -> None:
    pack = gzip.compress if encoding == "gzip" else ZSTD.compress
    assert decompress(pack(b"") * 4095 + pack(PLAIN), encoding, MIB, 100) == PLAIN
    with pytest.raises(InvalidInput, match="over 4096"):
        decompress(pack(b"") * 4096 + pack(PLAIN), encoding, MIB, 100)


@given(st.lists(st.binary(max_size=3000), min_size=1, max_size=6), st.integers(0, 9))
def test_gzip_members_of_any_size_come_out_whole(parts: list[bytes], level: int) -> None:
    body = b"".join(gzip.compress(part, level) for part in parts)
    assert decompress(body, "gzip", MIB, 10_000) == b"".join(parts)
    if body:
        with pytest.raises(InvalidInput):
            decompress(body[:-1], "gzip", MIB, 10_000)


def test_a_zstd_frame_that_wants_a_huge_window_is_refused() -> None:
    params = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    writer = zstandard.ZstdCompressor(compression_params=params).compressobj()
    body = writer.compress(PLAIN) + writer.flush()
    with pytest.raises(InvalidInput, match="window"):
        decompress(body, "zstd", MIB, 100)


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zip"])
def test_an_encoding_that_is_not_offered_is_refused(encoding: str) -> None:
    with pytest.raises(UnknownEncoding):
        decompress(zlib.compress(PLAIN), encoding, MIB, 100)


@given(st.lists(st.integers(0, 40), max_size=40), st.integers(16, 200))
def test_lines_are_cut_whole_and_none_is_lost(widths: list[int], largest: int) -> None:
    body = b"".join(b'{"n":"' + b"x" * w + b'"}\n' for w in widths)
    pieces = list(cut(body, largest))
    assert b"".join(p for _, p in pieces) == body
    lines = [n for n, _ in pieces]
    counted = [p.count(b"\n") for _, p in pieces]
    assert lines == [sum(counted[:n]) for n in range(len(pieces))]


def test_head_lines_are_repeated_in_each_piece_and_positions_never_overlap() -> None:
    body = b"#fields\tts\n" + b"".join(b"%d\n" % n for n in range(40))
    pieces = list(cut(body, 40))
    assert all(p.startswith(b"#fields\tts\n") for _, p in pieces)
    ends = [n + p.count(b"\n") for n, p in pieces]
    assert [n for n, _ in pieces][1:] == [end + 1 for end in ends[:-1]]
    rows = [line for _, p in pieces for line in p.splitlines() if not line.startswith(b"#")]
    assert rows == [b"%d" % n for n in range(40)]


@pytest.mark.parametrize("body", [b"ElfFile\x00" * 999, b'{\n "a": 1\n}\n' * 99, b"[{},\n{}]" * 99])
def test_what_is_no_line_format_stays_whole(body: bytes) -> None:
    assert list(cut(body, 64)) == [(0, body)]
