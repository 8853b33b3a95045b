"""See that a CSV's good rows are read, its bad ones told, and that no bytes break it."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.intel import csv_list
from storage.errors import InvalidBatch

_HEAD = "type,value,valid_from,valid_until,confidence,labels\n"
_FROM = "2026-01-01T00:00:00Z"


def test_the_bad_are_told_and_the_good_go_on() -> None:
    rows = [
        f"domain,Evil[.]example,{_FROM},2026-01-02T00:00:00+00:00,90,c2; phish",
        f"domain,not a domain,{_FROM},,,",
        "ipv4,203.0.113.9,,,,",
        f"ipv4,203.0.113.9,{_FROM},,101,",
        "ipv4,203.0.113.9",
        f"ipv4,203.0.113.9,{_FROM},,,",
    ]
    got = csv_list.read((_HEAD + "\n".join(rows)).encode(), "f")
    assert [r.record for r in got.refused] == ["1", "2", "3", "4"]
    first, last = got.indicators
    assert (first.value, first.confidence, first.labels) == ("evil.example", 90, ("c2", "phish"))
    assert first.valid_until_us == first.valid_from_us + 86_400_000_000
    assert (last.value, last.valid_until_us, last.confidence) == ("203.0.113.9", None, 50)


@given(
    st.lists(st.lists(st.text(st.characters(codec="utf-8"), max_size=9), max_size=7), max_size=4)
)
def test_every_row_is_read_or_told(rows: list[list[str]]) -> None:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([["domain", *row] for row in rows])
    got = csv_list.read((_HEAD + out.getvalue()).encode(), "f")
    assert len(got.indicators) + len(got.refused) == len(rows)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"value\nx", (_HEAD + '"open').encode()])
def test_what_is_no_such_file_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidBatch, match=r": \w+"):
        csv_list.read(data, "f")
