"""Bodies in flight are bounded, for all and for one."""

import pytest

from api.room import Room
from storage.errors import Overloaded


def test_one_tenant_cannot_take_the_room_of_the_others() -> None:
    room = Room(most=100, most_of_one=60)
    with room.held("acme", 60):
        with pytest.raises(Overloaded), room.held("acme", 1):
            pass
        with room.held("bolt", 40), pytest.raises(Overloaded), room.held("carl", 1):
            pass
    with room.held("acme", 60):
        pass


def test_room_comes_back_after_a_failure() -> None:
    room = Room(most=10, most_of_one=10)
    with pytest.raises(ValueError, match="x"), room.held("acme", 10):
        raise ValueError("x")
    with room.held("acme", 10):
        pass
