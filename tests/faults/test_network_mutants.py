"""Read ten thousand broken captures: no exception, no hang, less than twice the time a byte."""

import pytest

from tests.pipelines.test_network_hostile import suffer

pytestmark = pytest.mark.faults


@pytest.mark.timeout(3_600)
def test_ten_thousand_mutants_are_read_without_an_error_or_a_hang() -> None:
    ratio, slowest, rows = suffer(10_000, seed=1_000)
    print(f"10,000 mutants: {ratio:.2f} x the time a byte, slowest {slowest:.2f} s, {rows} rows")
    assert ratio < 2
    assert slowest < 2
