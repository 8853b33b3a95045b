"""Set the clock of one process an hour on and an hour back while events flow."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.campaign import ended
from tests.faults.house import NAMES, House, standing
from tests.faults.outage import HEAD, LAG_S, begin, suffer

pytestmark = pytest.mark.slow
_HOUR_S = 3600


def _library(folder: Path) -> str:
    """Compile the shim of the wall clock; skip without a compiler, but fail in CI."""
    compiler = shutil.which("cc")
    if compiler is None:
        reason = "no C compiler is there; install gcc"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    made, source = folder / "clock.so", Path(__file__).with_name("clock.c")
    words = [compiler, "-O1", "-shared", "-fPIC", "-o", str(made), str(source)]
    subprocess.run(words, check=True)
    return str(made)


@pytest.mark.timeout(600)
def test_a_clock_that_jumps_an_hour_loses_nothing(tmp_path: Path) -> None:
    clocks = {name: tmp_path / name for name in NAMES}
    library = _library(tmp_path)
    extra = {
        name: {
            "LD_PRELOAD": library,
            "CLOCK_SHIFT_FILE": str(clock),
        }
        for name, clock in clocks.items()
    }

    def set_to(name: str, seconds: int) -> Callable[[], None]:
        def jump() -> None:
            fresh = clocks[name].with_suffix(".new")
            fresh.write_text(f"{seconds:+d}\n")
            fresh.rename(clocks[name])

        return jump

    for name in NAMES:
        set_to(name, 0)()
    with standing("embedded", extra=extra) as house:
        _check_that_it_holds(house, set_to("api", _HOUR_S), set_to("api", 0))
        begin(house, seed=6, per_s=2)
        seen = [
            suffer(house, f"{name} {by:+d} s", set_to(name, by), set_to(name, 0), 3)
            for by in (_HOUR_S, -_HOUR_S)
            for name in NAMES
        ]
        end = ended(house, seed=6)
    verdict = end.judged()
    told = "\n".join([HEAD, *(one.row() for one in seen), "", verdict.text()])
    print(told)
    assert verdict.is_good, told
    assert all(one.lag_gone_s <= LAG_S and not sum(one.deaths.values()) for one in seen), told


def _check_that_it_holds(house: House, on: Callable[[], None], off: Callable[[], None]) -> None:
    """Fail if the process does not see the clock that it is given."""
    before = house.status()["now"]
    on()
    after = house.status()["now"]
    off()
    assert str(after)[11:13] != str(before)[11:13], (before, after)
