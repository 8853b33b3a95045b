"""Name HTTP bodies by their hash, however they are cut into segments."""

import hashlib
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.network.protocols.bodies import MAX_BODY
from pipelines.network.sensor import watch
from pipelines.network.sightings import FILES, Sighting
from tests.pipelines.network_frames import capture, segments, tcp

GET = b"GET /a HTTP/1.1\r\nHost: h.example\r\n\r\n"


def files(frames: Iterable[bytes]) -> list[Sighting]:
    parts = watch([capture(frames)], flows=False, dns=False, others=(FILES,))
    return [row for part in parts for row in part.others if row.kind == FILES]


def answer(body: bytes, extra: bytes = b"") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: a/b; c=d\r\n" + extra
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def back(payload: bytes, size: int = 1_000) -> list[bytes]:
    """Cut the server's bytes into segments."""
    places = range(0, len(payload), size)
    return [tcp(payload[at : at + size], seq=1 + at, back=True) for at in places]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@given(st.sets(st.integers(1, 400), max_size=9))
@settings(max_examples=60, deadline=None)
def test_a_sent_file_has_its_hash_however_it_is_cut(cuts: set[int]) -> None:
    body = b"GET / HTTP/1.1\r\n" * 20
    post = b"POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body)
    (row,) = files(segments(post + body, cuts))
    assert row.fields["sha256"] == row.fields["sha256_16k"] == sha256(body)
    assert (row.fields["uri"], row.fields["size"]) == ("/up", len(body))


@pytest.mark.parametrize("size", [MAX_BODY - 1, MAX_BODY, MAX_BODY + 1, 60_000])
def test_of_a_long_file_the_beginning_counts_and_the_next_one_is_still_found(size: int) -> None:
    first, second = bytes(range(256)) * (size // 256) + b"x" * (size % 256), b"second"
    rows = files([tcp(GET), tcp(GET, seq=1 + len(GET)), *back(answer(first) + answer(second))])
    assert [r.fields["sha256_16k"] for r in rows] == [sha256(first[:MAX_BODY]), sha256(second)]
    assert [r.fields["sha256"] is not None for r in rows] == [size <= MAX_BODY, True]
    assert [(r.fields["uri"], r.fields["mime_type"]) for r in rows] == [("/a", "a/b")] * 2


def test_a_body_in_chunks_is_put_together() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    coded = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"
    (row,) = files([tcp(GET), *back(head + coded, 7)])
    assert (row.fields["sha256"], row.fields["seen_bytes"]) == (sha256(b"hello world"), 11)


def test_bodies_in_chunks_hide_no_later_answer_of_the_connection() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    both = [head + b"5\r\n%s\r\n0\r\n\r\n" % word for word in (b"hello", b"world")]
    rows = files([tcp(GET + GET), *back(b"".join(both) + answer(b"last"))])
    assert [r.fields["sha256"] for r in rows] == [sha256(b) for b in (b"hello", b"world", b"last")]


def test_a_body_with_a_hole_is_told_as_far_as_it_was_seen() -> None:
    parts = back(answer(b"z" * 40_000))
    (row,) = files([tcp(GET), *parts[:3], *parts[4:]])
    assert row.fields["sha256"] is None
    assert 0 < int(str(row.fields["seen_bytes"])) < 3_000


def test_without_the_kind_bodies_are_stepped_over() -> None:
    frames = [tcp(GET), *back(answer(b"z" * 4_000))]
    rows = [r for p in watch([capture(frames)], flows=False, dns=False) for r in p.others]
    assert [r.kind for r in rows] == ["http"]
