import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.log.partition import partition_of, share


def test_partitions_of_keys_never_change() -> None:
    keys = [b"", b"a", b"acme/host-7", b"\xff" * 9]
    assert [partition_of(k, 8) for k in keys] == [0, 3, 3, 0]


@settings(max_examples=50)
@given(count=st.integers(1, 20), members=st.sets(st.text(max_size=3), min_size=1, max_size=6))
def test_after_two_rounds_all_is_shared_evenly(count: int, members: set[str]) -> None:
    owners = dict.fromkeys(range(count), min(members))
    for member in sorted(members) * 2:
        mine = share(owners, members, member, count)
        owners = {p: m for p, m in owners.items() if m != member} | dict.fromkeys(mine, member)
    shares = [sum(owner == member for owner in owners.values()) for member in members]
    assert sum(shares) == count
    assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize(("member", "expected"), [("a", [0, 2]), ("b", [1]), ("c", [3])])
def test_a_stable_group_moves_nothing(member: str, expected: list[int]) -> None:
    owners = {0: "a", 1: "b", 2: "a", 3: "c"}
    assert share(owners, "abc", member, 4) == expected
