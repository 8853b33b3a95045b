import json
import random
import time
from pathlib import Path

import pytest

from deploy.cli import run
from deploy.demo.calendar import Calendar
from deploy.demo.company import found
from deploy.demo.feeding import steps
from deploy.demo.living import HISTORY_STEP, _state
from deploy.demo.month import stream
from deploy.demo.pace import Pace
from deploy.demo.plan import STORIES
from deploy.demo.playlist import LIVE_FROM_D, playlist
from deploy.demo.rows import DAY, HOUR, SECOND
from deploy.demo.tale import PLANTED
from deploy.output import DONE, WRONG_USE
from tests.deploy.conftest import Place

FIRST = 1_780_272_000_000_000
CALENDAR = Calendar(FIRST, works_always=True)
COMPANY = found(7, 30)


def test_all_stories_are_told_in_the_first_two_days() -> None:
    tales_of = playlist(7, COMPANY, CALENDAR)
    told = [t.tale for day in range(LIVE_FROM_D) for t in tales_of(day)]
    assert {t.name for t in told if t.kind == PLANTED} == {s.NAME for s in STORIES}


def test_the_fraud_is_complete_before_two_minutes_of_watching() -> None:
    fraud = playlist(7, COMPANY, CALENDAR)(0)[0]
    payment = next(r for r in fraud.rows if r.command and r.command.path == "/v1/payments")
    opening = CALENDAR.begins(0) + 8 * HOUR
    assert Pace(CALENDAR, 60).wait_s(opening, payment.time_us) < 120


def test_later_days_have_new_stories_and_the_same_ones_when_asked_again() -> None:
    tales_of = playlist(7, COMPANY, CALENDAR)
    third, fourth = ([t.tale.begin_us for t in tales_of(day)] for day in (3, 4))
    assert len(third) > 5
    assert third == [t.tale.begin_us for t in tales_of(3)]
    assert [at - 3 * DAY for at in third] != [at - 4 * DAY for at in fourth]


def test_the_companys_clock_never_runs_ahead_of_the_walls() -> None:
    pace = Pace(CALENDAR, 60)
    wall = FIRST + 9 * HOUR
    assert pace.after(FIRST + 8 * HOUR, 1.0, wall) == FIRST + 8 * HOUR + 60 * SECOND
    assert pace.after(wall - SECOND, 1.0, wall) == wall


def test_rows_come_in_order_of_time_and_start_with_the_master_data() -> None:
    rows = stream(COMPANY, CALENDAR, 7, range(2), playlist(7, COMPANY, CALENDAR), 10)
    times = [row.time_us for row in rows]
    assert times == sorted(times)
    assert times[0] < CALENDAR.begins(-9)


def test_steps_have_the_rows_before_their_end_and_days_of_books_only_are_one() -> None:
    rows = stream(COMPANY, CALENDAR, 7, range(1), lambda _: (), 5)
    last = 0
    for end, part in steps(rows, HISTORY_STEP, CALENDAR.begins(0)):
        assert last <= part[0].time_us <= part[-1].time_us < end
        assert part[-1].time_us - part[0].time_us < (
            DAY if part[0].time_us < FIRST else HISTORY_STEP
        )
        last = part[-1].time_us


def test_ibans_have_right_check_digits() -> None:
    for person in random.Random(1).sample(COMPANY.people, 10):
        digits = f"{person.iban[4:]}{person.iban[:4]}"
        assert int("".join(str(int(c, 36)) for c in digits)) % 97 == 1


def test_fresh_leaves_a_folder_alone_that_holds_no_demo(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("dear to me")
    assert run(["demo", "--fresh", "--no-wait", "--data", str(tmp_path)]) == WRONG_USE
    assert (tmp_path / "mine.txt").exists()


@pytest.mark.slow
def test_the_demo_holds_the_fraud_and_goes_on_where_it_ended(place: Place) -> None:
    words = ["demo", "--no-wait", "--people", "20", "--history", "1", "--port", str(place.port)]
    first = place.start(*words)
    assert first.returncode == DONE, first.stdout + first.stderr
    state = json.loads((place.data / "demo.json").read_text())
    assert state["sent_us"] > state["first_us"]
    assert state["sent_us"] < time.time_ns() // 1000
    assert state["positions"]["wec"] > 0
    again = place.start(*words)
    assert again.returncode == DONE, again.stdout + again.stderr
    kept = _state(place.settings, 1, 1, 0)
    assert (kept.first_us, kept.positions) == (state["first_us"], state["positions"])
    assert place.up().returncode == 0
    levels = {f["level"] for f in place.read("main", "/v1/findings", limit="200")}
    assert "critical" in levels or "high" in levels
