"""What is sent is in the log before the answer, as the sender's tenant, once."""

import gzip
import json
from dataclasses import replace

import httpx
import pytest
import zstandard

from api.app import create_app
from pipelines.decode import decode, parse_run
from storage.errors import Unavailable
from storage.log import Message
from storage.log.memory import MemoryLog
from storage.quotas import set_rate
from storage.tenant import Role
from tests.api.conftest import Front

LINE = b'{"time":"2026-11-18T12:00:00Z","message":"hello"}\n'


def taken(front: Front) -> list[Message]:
    return [m for p in range(2) for m in front.log.read("raw.events", p, 0)]


def test_202_comes_after_the_log_has_it_with_tenant_and_place(
    front: Front, sender: httpx.Client
) -> None:
    answer = sender.post("/v1/ingest?source=s1&position=7&format=ndjson&name=a.log", content=LINE)
    assert answer.status_code == 202
    assert answer.json() == {
        "source": "s1",
        "position": 7,
        "next_position": 8,
        "messages": 1,
        "size_bytes": len(LINE),
    }
    (message,) = taken(front)
    assert message.value == LINE
    assert {k: v for k, v in message.headers.items() if k != "trace_id"} == {
        "tenant": "acme",
        "source": "s1",
        "position": "7",
        "format": "ndjson",
        "name": "a.log",
        "schema": "raw/1.0",
    }
    assert message.headers["trace_id"] == answer.headers["x-trace-id"]


def test_a_tenant_named_in_body_query_or_header_is_not_believed(
    front: Front, sender: httpx.Client
) -> None:
    forged = json.dumps({"tenant_id": "bolt", "tenant": "bolt"}).encode()
    headers = {"tenant": "bolt", "x-tenant": "bolt", "x-inopsio-tenant": "bolt"}
    answer = sender.post("/v1/ingest?tenant=bolt&tenant_id=bolt", content=forged, headers=headers)
    assert answer.status_code == 202
    assert [m.headers["tenant"] for m in taken(front)] == ["acme"]


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_compressed_bodies_are_taken_plain(
    front: Front, sender: httpx.Client, encoding: str
) -> None:
    pack = gzip.compress if encoding == "gzip" else zstandard.ZstdCompressor().compress
    answer = sender.post(
        "/v1/ingest", content=pack(LINE * 9), headers={"content-encoding": encoding}
    )
    assert answer.status_code == 202
    assert [m.value for m in taken(front)] == [LINE * 9]


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_is_413_and_leaves_nothing(
    front: Front, sender: httpx.Client, encoding: str
) -> None:
    zeros = bytes(64 << 20)
    pack = gzip.compress if encoding == "gzip" else zstandard.ZstdCompressor().compress
    answer = sender.post("/v1/ingest", content=pack(zeros), headers={"content-encoding": encoding})
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert taken(front) == []


def test_a_body_over_the_limit_is_413_before_it_is_read(front: Front, sender: httpx.Client) -> None:
    assert sender.post("/v1/ingest", content=bytes((16 << 20) + 1)).status_code == 413
    assert taken(front) == []


def test_a_large_body_is_cut_at_lines_in_order_and_the_same_way_each_time(
    front: Front, sender: httpx.Client
) -> None:
    body = LINE * 50_000
    ends = [
        sender.post("/v1/ingest?source=s&position=100", content=body).json()["next_position"]
        for _ in range(2)
    ]
    messages = taken(front)
    half = len(messages) // 2
    assert half == 3
    assert b"".join(m.value for m in messages[:half]) == body
    assert max(len(m.value) for m in messages) <= 1 << 20
    places = [int(m.headers["position"]) for m in messages]
    assert places[:half] == places[half:] == sorted(places[:half])
    assert ends == [50_100, 50_100]


def test_without_a_source_each_request_is_an_origin_of_its_own(
    front: Front, sender: httpx.Client
) -> None:
    for _ in range(2):
        sender.post("/v1/ingest", content=LINE)
    assert len({m.headers["source"] for m in taken(front)}) == 2


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("position=3", 422),
        ("source=s&position=-1", 422),
        ("source=s&position=99999999999999999999", 422),
        (f"source=s&position={2**62}", 422),  # the pipelines would refuse it
        ("source=%00", 422),
        ("source=" + "s" * 201, 422),
        ("format=../../etc", 422),
        ("name=a%0Ab", 422),
        ("name=a%C2%9B31m", 422),
        ("name=a%E2%80%AEb", 422),
    ],
)
def test_a_wrong_word_is_422(front: Front, sender: httpx.Client, query: str, status: int) -> None:
    assert sender.post(f"/v1/ingest?{query}", content=LINE).status_code == status
    assert taken(front) == []


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [(b"", "", 422), (b" \n\n ", "", 422), (b"junk", "gzip", 422), (LINE, "br", 415)],
)
def test_an_empty_broken_or_unknown_body_is_refused(
    sender: httpx.Client, body: bytes, encoding: str, status: int
) -> None:
    headers = {"content-encoding": encoding} if encoding else {}
    answer = sender.post("/v1/ingest", content=body, headers=headers)
    assert answer.status_code == status


def test_senders_are_turned_away_while_the_pipelines_lag_and_welcome_after(
    front: Front,
) -> None:
    tight = replace(front.app.state.desk.settings, lag_limit=2)
    app = create_app(tight, front.database, front.log, None, front.clock)
    sender = replace(front, app=app).bearer(front.acme, Role.INGEST)
    url = "/v1/ingest?source=s"
    assert [_step(front, sender, url) for _ in range(4)] == [202, 202, 202, 429]
    refused = sender.post(url, content=LINE)
    assert int(refused.headers["retry-after"]) > 0
    with front.database.writer() as tx:
        tx.execute(
            "INSERT INTO flow_offsets (flow, topic, partition, next_offset)"
            " SELECT 'events', 'raw.events', p, 3 FROM generate_series(0, 1) AS p"
        )
    assert _step(front, sender, url) == 202


def _step(front: Front, sender: httpx.Client, url: str) -> int:
    front.clock.forward(2)
    return sender.post(url, content=LINE).status_code


@pytest.mark.parametrize(
    "body", [b"[%s]" % b",".join([LINE.strip()] * 9), b'{"Records":[%s]}' % b",".join([b"{}"] * 9)]
)
def test_next_position_is_behind_every_record_of_a_body_that_is_no_lines(
    front: Front, sender: httpx.Client, body: bytes
) -> None:
    said = sender.post("/v1/ingest?source=s&position=7&format=cloudtrail", content=body).json()
    [message] = taken(front)
    (progress,) = decode((message,), 0, parse_run).progress
    assert said["next_position"] >= progress.next_position


def test_a_log_that_is_down_is_503_never_202(front: Front) -> None:
    class Down(MemoryLog):
        def append(self, *_: object) -> list[tuple[int, int]]:
            raise Unavailable("disk full at /secret/place")

    app = create_app(front.app.state.desk.settings, front.database, Down(2), None, front.clock)
    answer = (
        replace(front, app=app).bearer(front.acme, Role.INGEST).post("/v1/ingest", content=LINE)
    )
    assert answer.status_code == 503
    assert "secret" not in answer.text


def test_the_pipelines_read_what_is_sent_without_a_format_and_drop_a_resend(
    front: Front, sender: httpx.Client
) -> None:
    line = b'{"class_uid":1007,"time":1795000000000,"process":{"cmd_line":"whoami"}}\n'
    for _ in range(2):
        assert sender.post("/v1/ingest?source=s&position=0", content=line * 3).status_code == 202
    first, again = taken(front)
    read = decode((first,), 0, parse_run)
    assert read.frame is not None
    assert read.progress
    assert (read.frame.height, read.letters, read.progress[0].next_position) == (3, (), 3)
    repeat = decode((again,), read.progress[0].next_position, parse_run)
    assert repeat.frame is not None
    assert (repeat.frame.height, repeat.letters) == (0, ())


@pytest.mark.parametrize(
    "source", ["file:abc", "api:1", "retry:1", "business:erp", "house:agents", "signals/0"]
)
def test_the_house_s_own_source_names_cannot_be_taken(sender: httpx.Client, source: str) -> None:
    answer = sender.post(f"/v1/ingest?source={source}&position=0", content=LINE)
    assert answer.status_code == 422


def test_a_tenant_over_its_quota_is_429_with_a_wait_that_is_true_and_hinders_no_other(
    front: Front, sender: httpx.Client
) -> None:
    set_rate(front.database, front.acme, len(LINE))
    body = LINE * 30  # ten seconds' worth may come at once; what is more is a debt
    assert sender.post("/v1/ingest", content=body).status_code == 202
    refused = sender.post("/v1/ingest", content=LINE)
    assert refused.status_code == 429
    wait_s = int(refused.headers["retry-after"])
    assert 20 <= wait_s <= 21
    assert front.bearer(front.bolt, Role.INGEST).post("/v1/ingest", content=body).status_code == 202
    front.clock.forward(wait_s - 2)
    assert sender.post("/v1/ingest", content=LINE).status_code == 429
    front.clock.forward(2)
    assert sender.post("/v1/ingest", content=LINE).status_code == 202
    told = front.bearer(front.acme, Role.OPERATOR).get("/v1/metrics").text
    assert 'inopsio_tenant_refused_total{tenant="acme"}' in told
    assert "bolt" not in told
