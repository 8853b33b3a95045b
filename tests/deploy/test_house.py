"""Bring houses up and down as real processes; kill them."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from deploy.cli import run
from deploy.output import FAILED
from deploy.running import is_ready, running
from tests.deploy.conftest import Place, command, gone
from tests.shared import ROOT

pytestmark = pytest.mark.slow


def test_a_house_that_is_up_says_so(house: Place) -> None:
    [row] = house.call("status")
    assert (row["up"], row["ready"]) == (True, True)
    assert row["url"] == f"http://127.0.0.1:{house.port}"
    assert isinstance(row["processes"], dict)
    assert set(row["processes"]) == {"api", "business", "pipelines"}


def test_a_house_that_is_not_up_says_so(place: Place) -> None:
    assert place.call("status", code=FAILED) == [{"up": False, "data": str(place.data)}]


def test_the_doctor_finds_a_running_house_well(house: Place) -> None:
    looks = house.call("doctor")
    assert [row for row in looks if not row["well"]] == []
    (agents,) = (row["seen"] for row in looks if row["what"] == "agents' listener")
    assert agents == f"https://127.0.0.1:{house.port + 1}"


def test_a_second_house_in_the_same_folder_is_refused(
    house: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ([], ["--detach"]):
        assert run(["up", "--data", str(house.data), "--port", "1", *more]) == FAILED
        assert "a house is up already in" in capsys.readouterr().err


def test_a_port_of_somebody_else_is_refused(
    house: Place, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["up", "--data", str(place.data), "--port", str(house.port)]) == FAILED
    assert f"port {house.port} cannot be had" in capsys.readouterr().err


def test_killing_any_process_while_it_reads_loses_and_doubles_nothing(
    house: Place, tmp_path: Path
) -> None:
    house.call("tenant", "create", "killed")
    lines = 40_000
    big = tmp_path / "big.json"
    big.write_text("".join(_dns(n) for n in range(lines)))
    reading = subprocess.Popen(
        command("ingest", str(big), "--tenant", "killed", "--json", "--data", str(house.data)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    try:
        for name in ("pipelines", "business", "api", "pipelines"):
            _kill_child(house, name)
        out, _ = reading.communicate(timeout=180)
    finally:
        reading.kill()
        reading.communicate()
    assert reading.returncode == 0, out
    assert house.events("killed") == (lines, lines)
    _until(lambda: is_ready(house.settings))


def test_a_killed_embedded_database_is_started_again(house: Place) -> None:
    before = house.processes()[-1]
    before.kill()
    assert gone([before])
    _until(lambda: is_ready(house.settings))
    assert house.processes()[-1].pid != before.pid


def test_a_killed_supervisor_takes_all_with_it_and_the_next_ends_clean(place: Place) -> None:
    assert place.up().returncode == 0
    processes = place.processes()
    processes[0].kill()
    assert gone(processes)
    assert running(place.settings) is None
    again = subprocess.Popen(
        command("up", "--data", str(place.data), "--port", str(place.port)), cwd=ROOT
    )
    try:
        _until(lambda: is_ready(place.settings))
        processes = place.processes()[1:]
    finally:
        again.send_signal(signal.SIGINT)
        assert again.wait(60) == 0
    assert gone(processes)


def _dns(n: int) -> str:
    return (
        f'{{"class_uid": 4003, "activity_id": 1, "time": {1_714_550_401_000 + n}, '
        f'"query": {{"hostname": "h{n}.example.test"}}, "src_endpoint": {{"ip": "10.0.0.5"}}}}\n'
    )


def _kill_child(house: Place, name: str) -> None:
    before = _child(house, name)
    assert before is not None
    psutil.Process(before).kill()
    _until(lambda: _child(house, name) not in {None, before})


def _child(house: Place, name: str) -> int | None:
    state = running(house.settings)
    return state.children.get(name) if state else None


def _until(is_so: Callable[[], bool], wait_s: float = 90) -> None:
    until = time.monotonic() + wait_s
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)
