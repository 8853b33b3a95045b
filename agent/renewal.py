"""Renew the agent's certificate two thirds into its life; try again where it cannot be had."""

import importlib
import random
import threading
import time
from collections.abc import Callable
from typing import Final

from agent.errors import AgentError
from agent.identity import Identity

LOOK_EVERY_S: Final = 60.0
FIRST_WAIT_S: Final = 60.0
LONGEST_WAIT_S: Final = 3600.0


def keep_renewed(
    identity: Identity,
    stop: threading.Event,
    tell: Callable[[str], None],
    now_s: Callable[[], float] = time.time,
    houses: Callable[[], list[tuple[str, int]]] = list,
    skew_s: Callable[[], float | None] = lambda: None,
) -> None:
    """Renew whenever it is due, until told to stop. What sends reads the new files by itself.

    `houses`: where the house was reached before, for a host without name servers. `skew_s`: the
    house's clock less this host's, None while it is not known.
    """
    wait_s, pause_s = FIRST_WAIT_S, 0.0
    while not stop.wait(pause_s):
        pause_s = LOOK_EVERY_S
        if not identity.is_due(now_s(), skew_s()):
            continue
        try:
            # By name: the key's library costs ten megabytes, and is needed twice a week.
            identity = importlib.import_module("agent.enroll").renew(identity, houses())
        except (AgentError, ImportError, OSError) as failed:
            tell(f"the certificate was not renewed: {failed}")
            pause_s = wait_s * random.uniform(0.5, 1.5)  # noqa: S311  not a secret
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)
        else:
            wait_s = FIRST_WAIT_S
            tell("the certificate was renewed")
