"""Name a Kafka cluster and how to speak to it: addresses, TLS, login, what its errors mean."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from confluent_kafka import KafkaError, KafkaException

from storage.errors import InvalidInput, Unavailable
from storage.settings import Settings

Answer = TypeVar("Answer")
SCHEME: Final = "kafka"
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})
_MECHANISMS: Final = {
    "plain": "PLAIN",
    "scram-sha-256": "SCRAM-SHA-256",
    "scram-sha-512": "SCRAM-SHA-512",
    "oauthbearer": "OAUTHBEARER",
}
_NAME_MAX: Final = 249
_E: Final = KafkaError
_RIGHTS: Final = (
    "this login lacks the right; it needs Describe, Read and Write on topics and Read on groups "
    "that begin with INOPSIO_KAFKA_PREFIX (Create and Delete on the topics to make and trim them)"
)
_AWAY: Final = "no broker answers; is the cluster up, is the address right?"
_HINDERING: Final = frozenset({_E._AUTHENTICATION, _E.SASL_AUTHENTICATION_FAILED, _E._SSL})
_REMEMBERED_S: Final = 60.0
_PASSING: Final = frozenset(
    {
        _E.LEADER_NOT_AVAILABLE,
        _E.NOT_LEADER_FOR_PARTITION,
        _E.COORDINATOR_LOAD_IN_PROGRESS,
        _E.COORDINATOR_NOT_AVAILABLE,
        _E.NOT_COORDINATOR,
        _E.UNKNOWN_LEADER_EPOCH,
        _E.FENCED_LEADER_EPOCH,
    }
)
"""What passes by itself: a topic was just made, a broker was just lost."""
_PAUSE_S: Final = 0.05
_WAYS_OUT: Final[Mapping[int, str]] = {
    **dict.fromkeys((_E._ALL_BROKERS_DOWN, _E._TRANSPORT, _E._RESOLVE, _E._TIMED_OUT), _AWAY),
    **dict.fromkeys((_E._MSG_TIMED_OUT, _E._TIMED_OUT_QUEUE, _E.REQUEST_TIMED_OUT), _AWAY),
    **dict.fromkeys(
        (_E._AUTHENTICATION, _E.SASL_AUTHENTICATION_FAILED),
        "the login was refused; see INOPSIO_KAFKA_SASL, INOPSIO_KAFKA_USER and its password",
    ),
    _E._SSL: "TLS failed; see INOPSIO_KAFKA_TLS and INOPSIO_KAFKA_CA",
    **dict.fromkeys(
        (
            _E.TOPIC_AUTHORIZATION_FAILED,
            _E.GROUP_AUTHORIZATION_FAILED,
            _E.CLUSTER_AUTHORIZATION_FAILED,
        ),
        _RIGHTS,
    ),
    **dict.fromkeys(
        (_E.NOT_ENOUGH_REPLICAS, _E.NOT_ENOUGH_REPLICAS_AFTER_APPEND),
        "too few replicas are in sync to keep what is written; see to the brokers",
    ),
    _E.DUPLICATE_SEQUENCE_NUMBER: "nobody can say whether the records are kept; append again",
    **dict.fromkeys(
        (_E.MSG_SIZE_TOO_LARGE, _E.RECORD_LIST_TOO_LARGE),
        "the topic takes no record as large as this; set its max.message.bytes to 18000000",
    ),
    **dict.fromkeys(
        (
            _E.UNKNOWN_MEMBER_ID,
            _E.ILLEGAL_GENERATION,
            _E.REBALANCE_IN_PROGRESS,
            _E.FENCED_INSTANCE_ID,
        ),
        "the group is being shared out anew, or others read in it: only they can move its offsets",
    ),
}


class _Trouble:
    """Remember why clients do not get through: who waits for them only sees the time end."""

    def __init__(self) -> None:
        self._told: tuple[float, int] = (-_REMEMBERED_S, 0)

    def __call__(self, error: KafkaError) -> None:
        if error.code() in _HINDERING:
            self._told = (time.monotonic(), error.code())

    def recent(self) -> int:
        at_s, code = self._told
        return code if time.monotonic() - at_s < _REMEMBERED_S else 0


@dataclass(frozen=True, slots=True)
class Cluster:
    """Hold where a cluster is and how its clients are set up; no repr of what is secret.

    `wait_s`: longest wait for an answer.
    """

    servers: str
    prefix: str
    client: Mapping[str, Any]
    wait_s: float = 20.0

    def __repr__(self) -> str:
        return f"Cluster({self.servers!r}, {self.prefix!r})"

    def name(self, own: str) -> str:
        """Give the cluster's name of a topic or group; InvalidInput if it is too long."""
        whole = f"{self.prefix}{own}"
        if len(whole) > _NAME_MAX:
            raise InvalidInput(f"topic '{own[:80]}' is too long with prefix '{self.prefix}'")
        return whole

    def own(self, name: str) -> str | None:
        """Give the house's name of a topic, None if it is not the house's."""
        return name.removeprefix(self.prefix) if name.startswith(self.prefix) else None

    @contextmanager
    def explained(self, doing: str = "") -> Iterator[None]:
        """Turn what the client raises into Unavailable with a way out."""
        try:
            yield
        except KafkaException as error:
            raise self.unavailable(error.args[0], doing) from error
        except RuntimeError as error:  # what the client says of a handle that was closed meanwhile
            raise Unavailable(f"event log {self.servers}: {error}") from error

    def patiently(self, doing: str, ask: Callable[[], Answer]) -> Answer:
        """Ask, and again while what hinders it passes by itself; Unavailable after `wait_s`."""
        until_s = time.monotonic() + self.wait_s
        while True:
            try:
                with self.explained(doing):
                    return ask()
            except Unavailable as error:
                if code_of(error) not in _PASSING or time.monotonic() > until_s:
                    raise
                time.sleep(_PAUSE_S)

    def unavailable(self, error: KafkaError, doing: str = "") -> Unavailable:
        """Make the house's error of the client's."""
        place = f"event log {self.servers}{', ' if doing else ''}{doing}"
        reason = _WAYS_OUT.get(error.code()) or f"{error.name()}: {error.str()}"
        if reason == _AWAY:
            reason = _WAYS_OUT.get(self.client["error_cb"].recent(), _AWAY)
        return Unavailable(f"{place}: {reason}")


def code_of(error: Unavailable) -> int | None:
    """Give the client's code of what `Cluster.explained` made of its error."""
    cause = error.__cause__
    return int(cause.args[0].code()) if isinstance(cause, KafkaException) else None


def cluster_of(settings: Settings) -> Cluster:
    """Read INOPSIO_LOG_URL and the INOPSIO_KAFKA_* settings; InvalidInput names what is wrong."""
    servers = _servers(settings.log_url)
    is_local = all(server.rpartition(":")[0] in _LOOPBACK for server in servers)
    is_tls = not is_local if settings.kafka_tls == "auto" else settings.kafka_tls == "on"
    if settings.kafka_tls not in {"auto", "on", "off"}:
        raise InvalidInput(f"INOPSIO_KAFKA_TLS is {settings.kafka_tls!r}; one of: auto, on, off")
    login = _login(settings)
    is_open = login.get("sasl.mechanisms") in {"PLAIN", "OAUTHBEARER"} and not is_tls
    if is_open and not is_local:
        raise InvalidInput(
            "INOPSIO_KAFKA_TLS is off: the login would cross the network in clear; "
            "switch it on, or use scram-sha-512"
        )
    protocol = ("SASL_" if login else "") + ("SSL" if is_tls else "PLAINTEXT")
    client = {
        "bootstrap.servers": ",".join(servers),
        "client.id": "inopsio",
        "security.protocol": protocol,
        # Its lines go to standard error and know no structure; errors come back by the calls.
        "log_level": 0,
        "error_cb": _Trouble(),
        "socket.keepalive.enable": True,
        "reconnect.backoff.max.ms": 2000,
        "topic.metadata.refresh.interval.ms": 30_000,
        **login,
        **(_papers(settings) if is_tls else {}),
    }
    return Cluster(",".join(servers), settings.kafka_prefix, client)


def _servers(url: str) -> list[str]:
    parts = urlsplit(url)
    servers = [server for server in parts.netloc.split(",") if server]
    if parts.scheme != SCHEME or not servers or parts.path.strip("/") or parts.query:
        raise InvalidInput(f"INOPSIO_LOG_URL is not '{SCHEME}://HOST:PORT[,HOST:PORT]' (no more)")
    if "@" in parts.netloc:
        raise InvalidInput(
            "INOPSIO_LOG_URL names a login; give it by INOPSIO_KAFKA_USER and _PASSWORD"
        )
    return [
        server if server.rpartition(":")[2].isdigit() else f"{server}:9092" for server in servers
    ]


def _login(settings: Settings) -> dict[str, Any]:
    if settings.kafka_sasl == "off":
        return {}
    mechanism = _MECHANISMS.get(settings.kafka_sasl)
    if mechanism is None:
        known = ", ".join(["off", *_MECHANISMS])
        raise InvalidInput(f"INOPSIO_KAFKA_SASL is {settings.kafka_sasl!r}; one of: {known}")
    user, password = settings.kafka_user, settings.kafka_password.reveal()
    if not user or not password:
        raise InvalidInput("INOPSIO_KAFKA_SASL needs INOPSIO_KAFKA_USER and INOPSIO_KAFKA_PASSWORD")
    if mechanism != "OAUTHBEARER":
        return {"sasl.mechanisms": mechanism, "sasl.username": user, "sasl.password": password}
    if not settings.kafka_token_url:
        raise InvalidInput("INOPSIO_KAFKA_SASL=oauthbearer needs INOPSIO_KAFKA_TOKEN_URL")
    scope = {"sasl.oauthbearer.scope": settings.kafka_scope} if settings.kafka_scope else {}
    return {
        "sasl.mechanisms": mechanism,
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.client.id": user,
        "sasl.oauthbearer.client.secret": password,
        "sasl.oauthbearer.token.endpoint.url": settings.kafka_token_url,
        **scope,
    }


def _papers(settings: Settings) -> dict[str, Any]:
    given = {
        "ssl.ca.location": settings.kafka_ca,
        "ssl.certificate.location": settings.kafka_certificate,
        "ssl.key.location": settings.kafka_key,
    }
    return {name: value for name, value in given.items() if value}
