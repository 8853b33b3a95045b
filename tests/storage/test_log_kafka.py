"""The log on a real Kafka keeps what every home promises, and speaks to clusters of all kinds."""

import base64
import http.server
import itertools
import json
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TypeVar

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from hypothesis import Phase

from storage.errors import Unavailable
from storage.log import EventLog, Record
from storage.log.cluster import cluster_of
from storage.log.kafka import KafkaLog, _Call, open_kafka
from storage.log.kafka_topics import TOPIC_SETTINGS
from storage.settings import Secret, Settings
from tests.services import address_of, folder_of
from tests.shared import ROOT
from tests.storage.log_contract import Clock, LogContract, values

T = TypeVar("T")


class RealClock(Clock):
    """Let time pass by waiting: the broker has a clock of its own."""

    def pass_s(self, seconds: int) -> None:
        time.sleep(seconds)

    def __call__(self) -> int:
        return time.monotonic_ns() // 1000

    def is_now(self, time_us: int) -> bool:
        return abs(time_us - time.time_ns() // 1000) < 30_000_000


def house(**given: str | Secret) -> Settings:
    """Give settings with topics of their own on the cluster."""
    plain = Settings(log_url=address_of("kafka"), kafka_prefix=f"test-{uuid.uuid4().hex[:12]}.")
    return replace(plain, partitions=4, **given)  # type: ignore[arg-type]  # settings by name


def log_of(settings: Settings) -> KafkaLog:
    return KafkaLog(cluster_of(settings), settings.partitions, linger_ms=0)


class TestKafkaLog(LogContract):
    rounds = 3
    phases = (Phase.generate,)  # a round takes seconds: too long to look for the smallest

    @pytest.fixture
    def clock(self) -> Clock:
        return RealClock()

    @pytest.fixture
    def make_log(self) -> Callable[[], EventLog]:
        return lambda: log_of(house())

    @pytest.fixture
    def log(self, make_log: Callable[[], EventLog]) -> Iterator[EventLog]:
        log = make_log()
        yield log
        log.close()


def test_two_logs_on_one_cluster_see_each_others_records_and_not_the_neighbours() -> None:
    settings = house()
    with (
        closing(log_of(settings)) as one,
        closing(log_of(settings)) as two,
        closing(log_of(house())) as neighbour,
    ):
        for n in range(20):
            ((p, offset),) = one.append("t", [Record(b"a", b"%d" % n)])
            time.sleep(0.06)
            assert [m.value for m in two.read("t", p, offset)] == [b"%d" % n]
        assert (two.topics(), neighbour.topics()) == ({"t": 4}, {})


def test_reads_from_anywhere_give_what_lies_there() -> None:
    places = random.Random(7)
    with closing(log_of(house())) as log:
        log.append("t", [Record(b"a", b"%d" % n + bytes(2000)) for n in range(5000)])
        for _ in range(60):
            offset, limit = places.randrange(5000), places.randrange(1, 400)
            found = log.read("t", 3, offset, limit)
            assert [m.offset for m in found] == list(range(offset, min(offset + limit, 5000)))
            assert all(m.value.startswith(b"%d\0" % m.offset) for m in found)


def test_a_partition_nobody_reads_on_does_not_fill_the_memory() -> None:
    with closing(log_of(house())) as log:
        for n in range(60):
            log.append(
                "t", [Record(key, random.Random(n).randbytes(1 << 20)) for key in (b"a", b"")]
            )
        log.read("t", 0, 0, limit=1)
        assert sum(len(log.read("t", 3, n, limit=1)) for n in range(60)) == 60
        place = log._reader._places[log._cluster.name("t"), 0]
        # The buffer, and what the client had ready when it was told to pause: 60 MiB wait there.
        assert place.size_bytes <= (16 + 32) << 20
        assert sum(len(log.read("t", 0, n, limit=1)) for n in range(60)) == 60


@pytest.mark.parametrize("again", range(6))
def test_threads_append_to_a_new_topic_at_once_and_nothing_told_is_missing(again: int) -> None:
    """Two requests under way at once lost the first one in about one topic of twenty."""
    with closing(log_of(house())) as log:
        places: dict[str, tuple[int, int]] = {}

        def work(name: str) -> None:
            for n in range(20):
                text = f"{name}-{n}"
                ((places[text]),) = log.append("t", [Record(text.encode(), text.encode())])

        threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stored = {
            value.decode(): (p, offset)
            for p in range(4)
            for offset, value in enumerate(values(log, "t", p))
        }
        assert stored == places
        assert len(stored) == 160


def test_acknowledged_records_survive_kill_9_of_the_producer() -> None:
    settings = house()
    with closing(log_of(settings)) as log:
        acknowledged: list[str] = []
        for life, most in enumerate((40, 200, 7)):
            words = ["t", f"life{life}", "1000000", "3", settings.log_url, settings.kafka_prefix]
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.storage.log_appender", *words],
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
            assert process.stdout is not None
            acknowledged += itertools.islice(process.stdout, most)
            process.kill()
            acknowledged += process.stdout.read().splitlines(keepends=True)
            assert process.wait() == -9
            process.stdout.close()
        whole = {line.strip() for line in acknowledged if line.endswith("\n")}
        kept = [v.decode() for p in range(4) for v in values(log, "t", p)]
        assert len(kept) == len(set(kept))
        assert whole <= set(kept)
        assert len(whole) >= 247


def test_a_cluster_that_is_not_there_is_unavailable_in_time() -> None:
    cluster = replace(cluster_of(Settings(log_url="kafka://127.0.0.1:9")), wait_s=2)
    begun_s = time.monotonic()
    with closing(KafkaLog(cluster)) as log:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9, .*no broker answers"):
            log.append("t", [Record(b"a", b"")])
        assert time.monotonic() - begun_s < 15


def login(**given: str | Secret) -> Settings:
    """Give settings for the TLS listener, as the cluster's administrator."""
    host, _, port = address_of("kafka").rpartition(":")
    folder = folder_of("kafka")
    mine: dict[str, str | Secret] = {
        "log_url": f"{host}:{int(port) + 2}",
        "kafka_tls": "on",
        "kafka_ca": str(folder / "ca.pem"),
        "kafka_user": "admin",
        "kafka_password": Secret((folder / "admin-password").read_text()),
    }
    return house(**(mine | given))


@pytest.mark.parametrize("mechanism", ["plain", "scram-sha-256", "scram-sha-512"])
def test_logins_over_tls(mechanism: str) -> None:
    with closing(log_of(login(kafka_sasl=mechanism))) as log:
        log.append("t", [Record(b"a", b"1")])
        assert values(log, "t", 3) == [b"1"]
        assert log.join("g", "t", "a") == [0, 1, 2, 3]


def test_a_token_is_fetched_and_taken() -> None:
    def part(told: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip("=")

    now = int(time.time())
    # Unsigned: the local broker's listener takes these, for tests.
    token = f"{part({'alg': 'none'})}.{part({'sub': 'admin', 'iat': now, 'exp': now + 600})}."

    class Door(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(str(self.headers.get("Authorization")))
            answer = json.dumps({"access_token": token, "token_type": "Bearer", "expires_in": 600})
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    asked: list[str] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door) as door:
        threading.Thread(target=door.serve_forever).start()
        url = f"http://127.0.0.1:{door.server_address[1]}/token"
        try:
            with closing(log_of(login(kafka_sasl="oauthbearer", kafka_token_url=url))) as log:
                log.append("t", [Record(b"a", b"1")])
                assert values(log, "t", 3) == [b"1"]
        finally:
            door.shutdown()
    assert base64.b64decode(asked[0].removeprefix("Basic ")).startswith(b"admin:")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"kafka_password": Secret("wrong-6e1f")}, "the login was refused"),
        ({"kafka_ca": ""}, "TLS failed"),
    ],
)
def test_what_is_wrong_with_a_login_is_said_and_no_secret(
    wrong: dict[str, str | Secret], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = login(kafka_sasl="plain", **wrong)
    with (
        closing(KafkaLog(replace(cluster_of(settings), wait_s=4))) as log,
        pytest.raises(Unavailable, match=said) as raised,
    ):
        log.append("t", [Record(b"a", b"")])
    shown = f"{raised.value} {raised.value.__cause__} {cluster_of(settings)} {capfd.readouterr()}"
    assert settings.kafka_password.reveal() not in shown


def test_a_topic_that_may_not_be_made_is_told_how_to_make() -> None:
    with (
        closing(open_kafka(house(kafka_create="off"))) as log,
        pytest.raises(
            Unavailable, match=r"--create --topic test-\w+\.t --partitions 4 .*max\.mess"
        ),
    ):
        log.append("t", [Record(b"a", b"")])


def test_a_login_without_rights_is_told_which_and_goes_on_when_it_has_them() -> None:
    name, password = f"u{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    admin = AdminClient({"bootstrap.servers": address_of("kafka").partition("//")[2]})
    scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    made = UserScramCredentialUpsertion(name, scram, password.encode())
    admin.alter_user_scram_credentials([made])[name].result(20)
    few = login(kafka_sasl="scram-sha-512", kafka_user=name, kafka_password=Secret(password))
    with closing(log_of(few)) as log:
        for _ in range(2):
            with pytest.raises(Unavailable, match=r"lacks the right|must run"):
                log.append("t", [Record(b"a", b"")])
        # The client tells its last error to its poller too, after the answer.
        log._server.join(1)
        assert log._server.is_alive()
        rights = [
            AclBinding(
                kind,
                few.kafka_prefix,
                ResourcePatternType.PREFIXED,
                f"User:{name}",
                "*",
                AclOperation.ALL,
                AclPermissionType.ALLOW,
            )
            for kind in (ResourceType.TOPIC, ResourceType.GROUP)
        ]
        for told in admin.create_acls(rights).values():
            told.result(20)
        _soon(lambda: log.append("t", [Record(b"a", b"1")]))
        assert [m.value for m in _soon(lambda: log.read("t", 3, 0))][-1:] == [b"1"]


def _soon(act: Callable[[], list[T]]) -> list[T]:
    """Do it as soon as it can be done: a broker learns of rights a moment after they are given."""
    until_s = time.monotonic() + 20
    while True:
        try:
            return act()
        except Unavailable:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.1)


def test_a_record_of_a_newer_layout_is_left_alone() -> None:
    with closing(log_of(house())) as log:
        log.append("t", [Record(b"a", b"1")])
        log._producer.produce(
            log._cluster.name("t"), b"2", partition=3, headers={"inopsio-layout": b"99"}
        )
        log._producer.flush(20)
        time.sleep(0.1)
        assert [m.value for m in log.read("t", 3, 0, limit=1)] == [b"1"]
        with pytest.raises(Unavailable, match="layout 99, this version knows 1"):
            log.read("t", 3, 1)


def test_a_group_that_others_read_in_keeps_its_offsets() -> None:
    settings = house()
    with closing(log_of(settings)) as reader, closing(log_of(settings)) as other:
        reader.join("g", "t", "a")
        with pytest.raises(Unavailable, match="only they can move its offsets"):
            other.commit("g", "t", 0, 5)
        reader.commit("g", "t", 0, 3)
        assert other.committed("g", "t", 0) == 3


def test_the_topic_is_made_as_it_must_be() -> None:
    settings = house()
    with closing(log_of(settings)) as log:
        log.append("t", [Record(b"a", b"")])
        place = ConfigResource(ConfigResource.Type.TOPIC, log._cluster.name("t"))
        (told,) = log._topics.admin.describe_configs([place]).values()
        found = {name: entry.value for name, entry in told.result(20).items()}
    assert {name: found[name] for name in TOPIC_SETTINGS} == TOPIC_SETTINGS


def test_what_the_broker_cannot_place_is_not_told_as_written() -> None:
    class Placeless:
        def offset(self) -> None:
            """Say nothing, as the client does after a repeat."""

    call = _Call(1)
    call.answered(0, None, Placeless())
    assert call.done.is_set()
    assert call.error.name() == "DUPLICATE_SEQUENCE_NUMBER"
