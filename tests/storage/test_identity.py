import uuid

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.identity import event_ids, new_id

_TIME_US = 1_700_000_000_000_000


def ids(
    times_us: list[int], positions: list[int], source: str = "s", tenant: str = "t"
) -> list[str]:
    times = pl.Series(times_us, dtype=pl.Int64)
    return event_ids(tenant, source, times, pl.Series(positions, dtype=pl.Int64)).to_list()


def test_ids_of_known_events_never_change() -> None:
    golden = ids([_TIME_US, _TIME_US + 1000, 0, -5, 1 << 62], [0, 1, 2, 3, 2**63 - 1])
    assert golden == [
        "018bcfe5-6800-870a-91ed-1cb4507726ef",
        "018bcfe5-6801-8165-92dd-c663ed2c8b3b",
        "00000000-0000-8c15-8044-5fac9ec4ce78",
        "00000000-0000-8b71-b3b3-7fe35e26d63a",
        "ffffffff-ffff-80af-8f8f-1ada3f757d08",
    ]


def test_ids_are_uuid_text_in_a_string_column() -> None:
    made = event_ids("t", "s", pl.Series([_TIME_US] * 3), pl.Series([0, 1, 2]))
    assert (made.name, made.dtype, made.null_count()) == ("event_id", pl.String(), 0)
    assert all(str(uuid.UUID(text)) == text and text[14] == "8" for text in made)
    assert {uuid.UUID(text).variant for text in made} == {uuid.RFC_4122}


def test_no_events_have_no_ids() -> None:
    assert ids([], []) == []


@settings(max_examples=50)
@given(st.lists(st.integers(0, 2**63 - 1), unique=True, max_size=200))
def test_records_of_one_source_never_share_an_id(positions: list[int]) -> None:
    made = ids([_TIME_US] * len(positions), positions)
    assert len(set(made)) == len(positions)


def test_a_hundred_thousand_neighbours_are_distinct_and_alike_in_any_cut() -> None:
    positions = list(range(100_000))
    whole = ids([_TIME_US] * 100_000, positions)
    assert len(set(whole)) == 100_000
    assert whole[70_000:70_010] == ids([_TIME_US] * 10, positions[70_000:70_010])


def test_the_same_record_of_another_source_or_tenant_is_another_event() -> None:
    made = [ids([_TIME_US], [7], s, t)[0] for s, t in (("a", "t"), ("b", "t"), ("a", "u"))]
    assert len(set(made)) == 3
    assert ids([_TIME_US], [7], "a", "t") == made[:1]


def test_ids_sort_by_time_to_the_millisecond() -> None:
    times = [_TIME_US + n * 1000 for n in range(1000)]
    made = ids(times, list(range(1000, 0, -1)))
    assert made == sorted(made)
    assert int(made[0].replace("-", "")[:12], 16) == _TIME_US // 1000


def test_new_ids_sort_by_time_and_are_random() -> None:
    early, late = new_id(_TIME_US), new_id(_TIME_US + 1000)
    assert early < late
    assert uuid.UUID(early).version == 7
    assert len({new_id(_TIME_US) for _ in range(1000)}) == 1000
