"""Give each group of each rule one number, the same in every process for ever."""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.uint64]
_PRIME: Final = 0x9E3779B97F4A7C15


@lru_cache(maxsize=65_536)
def part_of_slot(text: str) -> int:
    """Give the number of a tenant, a rule id or a "kind:value" in a slot."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


@lru_cache(maxsize=65_536)
def slot_of(tenant_id: str, key: str) -> int:
    """Give the number by which a group is looked up."""
    slot = part_of_slot(tenant_id)
    for part in key.split("\x1f"):
        slot = (slot * _PRIME + part_of_slot(part)) % 2**64
        slot ^= slot >> 29
    return slot


def slots_of(tenant: Numbers, parts: Iterable[Numbers]) -> Numbers:
    """Give many groups' slots from the numbers of their tenants and of their keys' parts."""
    slot = tenant
    for part in parts:
        slot = slot * np.uint64(_PRIME) + part
        slot = slot ^ (slot >> np.uint64(29))
    return slot
