"""Take broker, database and processes away for moments; `make faults` takes them for a minute."""

import time
from collections.abc import Callable
from functools import partial

import pytest

from tests.faults.campaign import Verdict, ended
from tests.faults.house import NAMES, House, standing
from tests.faults.outage import HEAD, LAG_S, MORE_MEMORY, Outage, begin, cut, pause
from tests.faults.proxy import CUT, SILENT, Weather

pytestmark = pytest.mark.slow
Trial = Callable[[House], Outage]
_PER_S = 1
_SERVERS = ("broker", "database")
_LINES = (
    CUT,
    SILENT,
    Weather(delay_s=0.3),
    Weather(bytes_s=100_000),
    Weather(reset_after=20_000),
)


def _all(house: House, trials: list[Trial], warm_s: float = 0) -> tuple[list[Outage], str]:
    begin(house, seed=3, per_s=_PER_S)
    if warm_s:  # what is loaded at the first trouble is no growth by the second
        for server in _SERVERS:
            cut(house, server, CUT, 2)
        time.sleep(warm_s)
    done = []
    for trial in trials:
        done.append(trial(house))
        print(done[-1].row(), flush=True)
    return done, "\n".join([HEAD, *(one.row() for one in done)])


def _judge(done: list[Outage], table: str, verdict: Verdict) -> None:
    told = f"{table}\n\n{verdict.text()}"
    assert verdict.is_good, told
    assert all(one.lag_gone_s <= LAG_S for one in done), told
    assert not any(sum(one.deaths.values()) for one in done), told


@pytest.mark.timeout(900)
@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.faults)])
def test_a_spoiled_line_or_a_pause_loses_nothing(every: int) -> None:
    trials: list[Trial] = [
        partial(cut, which=s, weather=w, for_s=3) for w in _LINES for s in _SERVERS
    ]
    trials += [partial(pause, name=name, for_s=3) for name in (*NAMES, *_SERVERS)]
    trials = trials[::every]
    with standing("cluster") as house:
        done, table = _all(house, trials)
        end = ended(house, seed=3)
    _judge(done, table, end.judged())


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_a_minute_without_broker_or_database_loses_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    trials: list[Trial] = [partial(cut, which=s, weather=CUT, for_s=60) for s in _SERVERS]
    trials += [partial(pause, name=name, for_s=60) for name in _SERVERS]
    trials += [partial(cut, which=s, weather=SILENT, for_s=60) for s in _SERVERS]
    trials += [partial(pause, name=name, for_s=60) for name in ("pipelines", "business")]
    with capsys.disabled():
        with standing("cluster") as house:
            done, table = _all(house, trials, warm_s=20)
            end = ended(house, seed=3)
        verdict = end.judged()
        print(table, "", verdict.text(), sep="\n", flush=True)
    _judge(done, table, verdict)
    assert all(one.growth() <= MORE_MEMORY for one in done), table
