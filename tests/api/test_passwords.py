"""Weak passwords are refused, strong ones kept by argon2id."""

from contextlib import ExitStack

import pytest

from api.auth.passwords import (
    _NOBODY,
    _QUEUE,
    COMMON,
    MOST_WAITING,
    check_password,
    hash_password,
    is_outdated,
    verify,
)
from storage.errors import InvalidInput, Overloaded


@pytest.mark.parametrize("password", sorted(COMMON)[:50])
def test_a_common_password_is_refused(password: str) -> None:
    with pytest.raises(InvalidInput):
        check_password(password.upper())


@pytest.mark.parametrize("password", ["short-one", "x" * 257, "abababababababab", "Roberta.2026!!"])
def test_a_short_long_poor_or_personal_password_is_refused(password: str) -> None:
    with pytest.raises(InvalidInput):
        check_password(password, "roberta", "acme")


def test_a_password_is_kept_by_argon2id_with_its_parameters() -> None:
    stored = hash_password("four green llamas")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert verify(stored, "four green llamas")
    assert not verify(stored, "four green llama")
    assert not is_outdated(stored)
    assert is_outdated("$argon2id$v=19$m=8192,t=1,p=1$c29tZXNhbHQ$" + "A" * 43)


@pytest.mark.parametrize("stored", [None, "", "junk"])
def test_nobody_signs_in_to_an_account_without_a_password(stored: str | None) -> None:
    assert not verify(stored, "")
    assert not verify(stored, "inopsio-nobody")


def test_an_unknown_name_costs_the_same_work_as_a_known_one() -> None:
    assert not is_outdated(_NOBODY)


def test_a_storm_of_sign_ins_does_not_queue_without_end() -> None:
    with ExitStack() as held:
        for _ in range(MOST_WAITING):
            assert _QUEUE.acquire(blocking=False)
            held.callback(_QUEUE.release)
        with pytest.raises(Overloaded):
            verify(None, "x")
    assert not verify(None, "x")
