"""Kill -9 every kind of process while events flow; `make faults`: a hundred times."""

import pytest

from tests.faults.campaign import campaign
from tests.faults.plan import plan

pytestmark = pytest.mark.slow


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("home", "each"), [("embedded", 1), ("cluster", 3)])
def test_kills_lose_nothing_and_double_nothing(home: str, each: int) -> None:
    verdict, table = campaign(plan(home, seed=11, each=each, per_s=3))
    print(table)
    assert verdict.is_good, table


@pytest.mark.faults
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("home", "each"), [("embedded", 17), ("cluster", 15)])
def test_a_hundred_kills_lose_nothing_and_double_nothing(
    home: str, each: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def say(what: str) -> None:
        with capsys.disabled():
            print(what, flush=True)

    verdict, table = campaign(plan(home, seed=1, each=each, per_s=3), say)
    say(table)
    assert verdict.is_good, table
