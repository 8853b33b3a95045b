"""Act on this host when the house asks for it: one file a kind of action, found by folder.

An action is a module with

    KIND: str                        what it is called
    plan(arguments, host) -> dict    what would be done, in words; Refuses if it must not be
    do(id, arguments, host) -> dict  do it; give what was done

and, where it lasts until it is undone,

    put(held, host) -> None          make it so; `held` is all of this kind that is in force
    undo(one, host) -> dict          take one back that is in force no more
    says(arguments, one) -> bool     the order says what is noted as in force (where it matters)

A program is called with a list of words, never by a shell. Files beginning with `_` are no actions.
"""

import importlib
import pkgutil
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from agent.errors import AgentError
from agent.incarnation import boot_of
from agent.orders import InForce, Orders
from agent.system import since_boot_s

Told = dict[str, Any]
MOST_MINUTES: Final = 1440
MOST_NEWS: Final = 200
ENDS: Final = "ends"
"""Of what is in force: the machine's run, the end in it, and the seconds that it is for."""


class Refuses(AgentError):
    """Not done on this host, whoever asks."""


@dataclass(frozen=True, slots=True)
class Host:
    """What actions need to know of this host.

    `house`: addresses that stay reachable, with port; `running`: what an action keeps at work;
    `news`: what it has to tell meanwhile, as `code`, `message` and more; `since_boot_s` and `boot`:
    a clock that nobody sets, and the run of the machine that it counts from.
    """

    folder: Path
    orders: Orders
    house: Callable[[], list[tuple[str, int]]]
    own_pids: Callable[[], frozenset[int]]
    now_s: Callable[[], float]
    running: dict[str, object] = field(default_factory=dict)
    news: deque[Told] = field(default_factory=lambda: deque(maxlen=MOST_NEWS))
    since_boot_s: Callable[[], float] = since_boot_s
    boot: Callable[[], str] = boot_of


def actions() -> dict[str, ModuleType]:
    """Find every kind of action; AgentError names a file that lacks a name."""
    found: dict[str, ModuleType] = {}
    for info in pkgutil.iter_modules(__path__):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{__name__}.{info.name}")
        wanted = ["KIND", "plan", "do", *(["undo"] if hasattr(module, "put") else [])]
        for name in wanted:
            if not hasattr(module, name):
                raise AgentError(f"{module.__name__}: it lacks '{name}'")
        found[module.KIND] = module
    return found


def minutes_of(arguments: Told) -> int:
    """Give how long it is in force; Refuses what has no end."""
    minutes = arguments.get("minutes", 60)
    if type(minutes) is not int or not 1 <= minutes <= MOST_MINUTES:
        raise Refuses(f"minutes: a whole number from 1 to {MOST_MINUTES}")
    return minutes


def impose(one: InForce, host: Host, put: Callable[[list[InForce], Host], None]) -> None:
    """Put it in force with all others of its kind; it is on disk before it is so."""
    host.orders.hold(lasting(one, host))
    try:
        put([other for other in host.orders.held() if other.kind == one.kind], host)
    except BaseException:
        host.orders.release(one.id)
        raise


def left_s(one: InForce, host: Host) -> int:
    """Give the whole seconds that something is in force from now on.

    By the clock that nobody sets, in the run of the machine in which it was noted; after another
    start by the host's clock, but never for longer than was left when it was noted last.
    """
    boot, end_s, most_s = _ends(one)
    is_same = bool(boot) and boot == host.boot()
    left = end_s - host.since_boot_s() if is_same else one.until_s - host.now_s()
    return round(min(max(0.0, left), most_s, MOST_MINUTES * 60.0))


def lasting(one: InForce, host: Host) -> InForce:
    """Give it with its end by the clock that nobody sets: that one set back prolongs nothing."""
    boot, _, most_s = _ends(one)
    if boot and boot == host.boot():
        return one
    seconds = min(max(0.0, one.until_s - host.now_s()), most_s, MOST_MINUTES * 60.0)
    ends = [host.boot(), host.since_boot_s() + seconds, seconds]
    return one._replace(detail={**one.detail, ENDS: ends})


def over(one: InForce, host: Host) -> InForce:
    """Give it as over now, whatever is done to a clock."""
    until_s = min(one.until_s, host.now_s())
    return one._replace(until_s=until_s, detail={**one.detail, ENDS: [host.boot(), 0.0, 0.0]})


def _ends(one: InForce) -> tuple[str, float, float]:
    try:
        boot, end_s, most_s = one.detail[ENDS]
        return str(boot), float(end_s), float(most_s)
    except (KeyError, TypeError, ValueError, OverflowError):
        return "", 0.0, MOST_MINUTES * 60.0
