"""Kill -9 the agent's spool while it is written; `make faults`: a hundred times."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.spool import Spool
from tests.shared import ROOT

CHILD = """
import sys
from pathlib import Path
from agent.spool import Spool
spool = Spool(Path(sys.argv[1]))
n = spool.note("n", 0)
print(n, flush=True)
while True:
    spool.append("s", "f", [b"%d" % (n + i) for i in range(5)], {"n": n + 5})
    n += 5
    print(n, flush=True)
"""


def _killed(path: Path, after: int) -> int:
    """Append in a process of its own, kill it after so many answers; give the last number told."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert child.stdout is not None
    told = [int(child.stdout.readline()) for _ in range(after)][-1]
    child.send_signal(signal.SIGKILL)
    told = max([told, *(int(x) for x in child.stdout.read().split("\n")[:-1])])
    child.stdout.close()
    child.wait()
    return told


def _kills(path: Path, times: int) -> None:
    """Kill again and again; what another connection then takes is all that was kept."""
    dice, got = random.Random(5), list[int]()
    for _ in range(times):
        told = _killed(path, dice.randrange(1, 40))
        spool = Spool(path)
        while (batch := spool.next_batch(most=dice.randrange(1, 50))) is not None:
            assert batch.first == len(got)
            got += [int(row) for row in batch.rows]
            spool.done(batch)
        assert got == list(range(len(got)))
        assert len(got) >= told
        assert spool.note("n", 0) == len(got)
        spool.close()


def test_kill_9_loses_no_row_that_was_kept(tmp_path: Path) -> None:
    _kills(tmp_path / "s.sqlite", 5)


@pytest.mark.faults
@pytest.mark.timeout(1200)
def test_a_hundred_kills_lose_no_row_that_was_kept(tmp_path: Path) -> None:
    _kills(tmp_path / "s.sqlite", 100)
