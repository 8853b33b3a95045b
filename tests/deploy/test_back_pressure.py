"""When the pipelines stand still the front door says so, and takes in again when they go on."""

import json
import signal
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.running import running
from tests.deploy.conftest import Place, until
from tests.services import address_of

pytestmark = pytest.mark.slow
_LIMIT = 40
_LINES = 200
_GROWTH = 48 << 20


def _body(number: int) -> bytes:
    event = {
        "class_uid": 4003, "activity_id": 1, "time": 1_714_550_401_000 + number,
        "query": {"hostname": f"h{number}.example.test"}, "unmapped": {"filling": "x" * 2000},
    }  # fmt: skip
    return (json.dumps(event).encode() + b"\n") * _LINES


def _send(door: httpx.Client, number: int) -> httpx.Response:
    where = {"source": "dns", "position": str(number * _LINES), "format": "ocsf_json"}
    return door.post("/v1/ingest", params=where, content=_body(number))


@pytest.mark.parametrize("home", ["file", "kafka"])
def test_a_stopped_pipeline_makes_the_front_door_answer_429_with_flat_memory(
    place: Place, monkeypatch: pytest.MonkeyPatch, home: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("INOPSIO_LAG_LIMIT", str(_LIMIT))
    if home == "kafka":
        monkeypatch.setenv("INOPSIO_LOG_URL", address_of("kafka"))
        monkeypatch.setenv("INOPSIO_KAFKA_PREFIX", f"{tmp_path.name}-{place.port}.")
    started = place.up()
    assert started.returncode == 0, started.stdout + started.stderr
    place.call("tenant", "create", "acme")
    [made] = place.call("token", "create", "in", "--tenant", "acme", "--role", "ingest")
    state = running(place.settings)
    assert state is not None
    pipelines, api = (psutil.Process(state.children[name]) for name in ("pipelines", "api"))
    headers = {"Authorization": f"Bearer {made['token']}"}
    url = f"http://127.0.0.1:{place.port}"
    with httpx.Client(base_url=url, headers=headers, timeout=60) as door:
        assert _send(door, 0).status_code == 202
        until(lambda: place.events("acme")[0] == _LINES)
        pipelines.send_signal(signal.SIGSTOP)
        try:
            taken = 1
            refused: list[httpx.Response] = []
            before = 0
            while len(refused) < 40:
                answer = _send(door, taken)
                if answer.status_code == 202:
                    taken += 1
                    assert taken < 20 * _LIMIT, "the front door takes without end"
                    before = api.memory_info().rss
                else:
                    refused.append(answer)
            assert {answer.status_code for answer in refused} == {429}
            assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
            assert taken > _LIMIT
            assert api.memory_info().rss - before < _GROWTH
        finally:
            pipelines.send_signal(signal.SIGCONT)
        until(lambda: place.events("acme") == (taken * _LINES, taken * _LINES))
        until(lambda: _send(door, taken).status_code == 202)
        until(lambda: place.events("acme")[0] == (taken + 1) * _LINES)
