"""The stream is the same each time, and says which records it holds."""

from storage.log.partition import partition_of
from tests.faults.stream import SOURCES, TENANTS, request


def test_a_request_is_the_same_each_time() -> None:
    assert [request(7, n) for n in range(40)] == [request(7, n) for n in range(40)]
    assert request(7, 3).body != request(8, 3).body


def test_positions_of_a_source_follow_each_other() -> None:
    for tenant, source in SOURCES:
        sent = [r for r in (request(7, n) for n in range(100)) if r.source == source]
        assert {r.tenant for r in sent} == {tenant}
        ends = [0, *(r.records.stop for r in sent)]
        assert [r.records.start for r in sent] == ends[:-1]


def test_no_two_sources_share_a_partition() -> None:
    keys = [f"{tenant}/{source}" for tenant, source in SOURCES]
    keys += [f"{tenant}/business:erp" for tenant in TENANTS]
    assert len({partition_of(key.encode(), 8) for key in keys}) == len(keys)
