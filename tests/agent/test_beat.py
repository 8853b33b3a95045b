"""Beat before a house that refuses: no result keeps orders and policies away."""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from agent.beat import Beat
from agent.errors import Away
from agent.halves import POLICY
from agent.orders import MOST_BYTES, Orders, Result
from agent.ship import Sender, Server
from agent.spool import Spool

ANSWER = {"policy": "", "orders": [], "beat_s": 15}


class _House(HTTPServer):
    """Refuse each beat with one of these words in it; keep what was taken."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Ear)
        self.refused: list[bytes] = []
        self.orders: list[str] = []
        self.taken: list[dict[str, Any]] = []
        self.count = 0


class _Ear(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        house = self.server
        assert isinstance(house, _House)
        said = self.rfile.read(int(self.headers["Content-Length"]))
        house.count += 1
        is_refused = any(word in said for word in house.refused)
        if not is_refused:
            house.taken.append(json.loads(said))
        self.send_response(422 if is_refused else 200)
        self.end_headers()
        self.wfile.write(json.dumps({**ANSWER, "orders": house.orders}).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def house() -> Iterator[_House]:
    server = _House()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def beat(house: _House, tmp_path: Path) -> Iterator[Beat]:
    spool, orders = Spool(tmp_path / "spool.sqlite", 4 << 20), Orders(tmp_path / "orders.sqlite")
    sender = Sender(Server(f"http://127.0.0.1:{house.server_port}", "token"), "a", "host")
    yield Beat(spool, orders, sender, tmp_path)
    for one in (sender, orders, spool):
        one.close()


def _ended(beat: Beat, told: dict[str, Any]) -> str:
    id_ = str(uuid.uuid4())
    beat._orders.offer(id_, "order", time.time())
    beat._orders.begin(id_)
    beat._orders.end(Result(id_, "done", told))
    return id_


def test_one_result_that_is_refused_goes_as_failed_and_keeps_no_other_away(
    beat: Beat, house: _House
) -> None:
    house.refused, house.orders = (
        [b"poison"],
        [json.dumps({"body": f'{{"id": "{uuid.UUID(int=1)}"}}'})],
    )
    ids = [_ended(beat, {"rows": [n]}) for n in ("one", "poison", "three")]
    assert beat.beat(0.0) == 1, "the order came"
    told = {r["id"]: (r["state"], r["result"]) for said in house.taken for r in said["results"]}
    assert [told[i][0] for i in ids] == ["done", "failed", "done"]
    assert "not taken" in told[ids[1]][1]["why"]
    before = house.count
    beat.beat(0.0)
    assert (house.count, beat._orders.untold()) == (before + 1, [])


def test_a_result_that_is_refused_in_any_words_is_left(beat: Beat, house: _House) -> None:
    id_ = _ended(beat, {})
    house.refused = [id_.encode()]
    beat.beat(0.0)
    assert beat._orders.untold() == []


def test_a_note_that_is_refused_leaves_the_version(beat: Beat, house: _House) -> None:
    beat._spool.set_note(POLICY, {"version": 3, "reason": "strange", "response": ["fly"]})
    house.refused = [b"fly"]
    beat.beat(0.0)
    assert house.taken == [{"policy_version": 3, "results": []}]


def test_a_house_that_refuses_all_is_away(beat: Beat, house: _House) -> None:
    house.refused = [b"policy_version"]
    with pytest.raises(Away):
        beat.beat(0.0)


def test_what_the_house_cannot_keep_is_made_plain_and_bounded(beat: Beat) -> None:
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]
    _ended(beat, {"rows": ["\udcff", "a\0b", deep, float("nan"), 10**40]})
    _ended(beat, {"rows": ["\xff" * 1000] * 1000})
    _ended(beat, {"text": "x" * (2 * MOST_BYTES)})
    first, second, third = (r.told for r in beat._orders.untold(10**9))
    assert first["rows"][:2] == ["\\udcff", "a\\x00b"]
    assert "NaN" not in json.dumps(first)
    assert (second["is_cut"], len(second["rows"]) > 10) == (True, True)
    assert "was not kept" in third["why"]
    assert all(len(json.dumps(t)) <= MOST_BYTES for t in (first, second, third))


@pytest.mark.parametrize("name", ["../identity.pem", "identity.pem", "", "X" * 36, 7])
def test_an_id_that_is_no_uuid_names_no_file(
    beat: Beat, house: _House, tmp_path: Path, name: object
) -> None:
    (tmp_path / "evidence").mkdir()
    (tmp_path / "identity.pem").write_text("key")
    house.orders = [json.dumps({"body": json.dumps({"id": name})})]
    assert beat.beat(0.0) == 0
    beat._orders.offer(str(name), "order", 0.0)
    beat._orders.end(Result(str(name), "done", {"evidence": {}}))
    beat.beat(0.0)
    assert (tmp_path / "identity.pem").exists()
