"""Guessing is slowed down, in bounded memory, and nobody is locked out for good."""

import pytest

from api.throttle import MOST_KEYS, Throttle
from storage.errors import Overloaded

SECOND = 1_000_000


def test_after_so_many_failures_the_key_must_wait_for_the_window() -> None:
    throttle = Throttle(tries=3, window_s=60)
    for n in range(3):
        throttle.check("k", n * SECOND)
        throttle.fail("k", n * SECOND)
    with pytest.raises(Overloaded) as refused:
        throttle.check("k", 3 * SECOND)
    assert refused.value.retry_after_s == 57
    throttle.check("other", 3 * SECOND)
    throttle.check("k", 61 * SECOND)


def test_success_forgives() -> None:
    throttle = Throttle(tries=1, window_s=60)
    throttle.fail("k", 0)
    throttle.forgive("k")
    throttle.check("k", 1)


def test_a_storm_of_keys_does_not_grow_memory() -> None:
    throttle = Throttle(tries=3, window_s=60)
    for n in range(MOST_KEYS + 500):
        throttle.fail(str(n), n)
    assert len(throttle._failures) == MOST_KEYS
