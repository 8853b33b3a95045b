"""The settings of a Kafka cluster become its client's set-up, or are refused with a reason."""

from dataclasses import replace
from typing import Any

import pytest

from storage.errors import InvalidInput
from storage.log.cluster import cluster_of
from storage.settings import Secret, Settings

FAR = Settings(log_url="kafka://k1.example:9093,k2.example")


def test_several_servers_and_the_usual_port() -> None:
    assert cluster_of(FAR).servers == "k1.example:9093,k2.example:9092"


@pytest.mark.parametrize(
    ("settings", "protocol"),
    [
        (FAR, "SSL"),
        (replace(FAR, kafka_tls="off"), "PLAINTEXT"),
        (Settings(log_url="kafka://127.0.0.1:9092"), "PLAINTEXT"),
        (Settings(log_url="kafka://localhost:9092", kafka_tls="on"), "SSL"),
        (
            replace(
                FAR,
                kafka_sasl="scram-sha-512",
                kafka_user="u",
                kafka_password=Secret("p"),
                kafka_tls="off",
            ),
            "SASL_PLAINTEXT",
        ),
    ],
)
def test_tls_is_on_beyond_loopback(settings: Settings, protocol: str) -> None:
    assert cluster_of(settings).client["security.protocol"] == protocol


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"log_url": "http://k:1"}, "INOPSIO_LOG_URL is not"),
        ({"log_url": "kafka://"}, "INOPSIO_LOG_URL is not"),
        ({"log_url": "kafka://ann:pw-77@k:1"}, "names a login"),
        ({"kafka_tls": "maybe"}, "INOPSIO_KAFKA_TLS is 'maybe'"),
        ({"kafka_sasl": "gssapi"}, "INOPSIO_KAFKA_SASL is 'gssapi'"),
        ({"kafka_sasl": "plain", "kafka_password": Secret("")}, "needs INOPSIO_KAFKA_USER"),
        ({"kafka_sasl": "oauthbearer"}, "INOPSIO_KAFKA_TOKEN_URL"),
        ({"kafka_sasl": "plain", "kafka_tls": "off"}, "cross the network in clear"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], said: str) -> None:
    settings = replace(FAR, kafka_user="ann", kafka_password=Secret("pw-77"))
    with pytest.raises(InvalidInput, match=said) as raised:
        cluster_of(replace(settings, **given))
    assert "pw-77" not in str(raised.value)


def test_certificates_and_tokens_are_handed_on() -> None:
    client = cluster_of(
        replace(
            FAR,
            kafka_ca="ca.pem",
            kafka_certificate="me.pem",
            kafka_key="me.key",
            kafka_sasl="oauthbearer",
            kafka_user="me",
            kafka_password=Secret("s"),
            kafka_token_url="https://id.example/token",
            kafka_scope="kafka",
        )
    ).client
    assert client["ssl.ca.location"] == "ca.pem"
    assert client["ssl.certificate.location"] == "me.pem"
    assert client["sasl.oauthbearer.client.id"] == "me"
    assert client["sasl.oauthbearer.scope"] == "kafka"


def test_a_name_too_long_with_its_prefix_is_refused() -> None:
    cluster = cluster_of(FAR)
    assert cluster.own(cluster.name("raw.events")) == "raw.events"
    assert cluster.own("other.raw") is None
    with pytest.raises(InvalidInput, match="too long with prefix 'inopsio"):
        cluster.name("x" * 245)


def test_no_secret_is_shown() -> None:
    settings = replace(FAR, kafka_sasl="plain", kafka_user="u", kafka_password=Secret("pw-77"))
    assert "pw-77" not in f"{cluster_of(settings)!r} {cluster_of(settings)} {settings}"
