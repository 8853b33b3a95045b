"""Read the settings: environment only, frozen, each documented once."""

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from storage.errors import InvalidInput


class Secret:
    """Wrap a secret so that no log line, error or repr can show it; `reveal()` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Keep the value out of sight."""
        self._value = value

    def reveal(self) -> str:
        """Give the secret to the one call that needs it."""
        return self._value

    def __repr__(self) -> str:
        """Show that there is one, not which."""
        return "***"

    def __bool__(self) -> bool:
        return bool(self._value)


def _setting(default: Any, meaning: str) -> Any:  # noqa: ANN401  dataclasses.field is typed so
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True)
class Settings:
    """Hold every setting. The variable of `data_dir` is INOPSIO_DATA_DIR, and so on."""

    data_dir: Path = _setting(
        Path(".inopsio"), "folder of the log, the lake, keys and embedded database"
    )
    database_url: Secret = _setting(
        Secret(""), "PostgreSQL URL of an owner login; empty = embedded PostgreSQL in data_dir"
    )
    http_host: str = _setting("127.0.0.1", "address the API and the console listen on")
    http_port: int = _setting(8600, "port the API and the console listen on")
    agents_host: str = _setting("", "address the agents' listener is on; empty = as http_host")
    agents_port: int = _setting(
        0, "port of the agents' listener (mutual TLS); 0 = http_port + 1, -1 = no listener"
    )
    tls: str = _setting(
        "auto", "auto, on or off: auto = HTTPS with the machine's own CA beyond loopback"
    )
    trusted_proxies: str = _setting(
        "", "addresses of proxies whose X-Forwarded-For is believed, separated by ','"
    )
    log_url: str = _setting(
        "", "kafka://HOST:PORT[,HOST:PORT] of the event log; empty = embedded log in data_dir"
    )
    kafka_prefix: str = _setting(
        "inopsio.", "what the names of topics and groups on Kafka begin with"
    )
    kafka_tls: str = _setting("auto", "TLS to Kafka: auto, on or off; auto = on beyond loopback")
    kafka_ca: str = _setting("", "file of the CA that Kafka is believed by; empty = the system's")
    kafka_certificate: str = _setting("", "file of a client certificate for Kafka, PEM")
    kafka_key: str = _setting("", "file of the client certificate's key, PEM")
    kafka_sasl: str = _setting(
        "off", "login at Kafka: off, plain, scram-sha-256, scram-sha-512 or oauthbearer"
    )
    kafka_user: str = _setting("", "user at Kafka; with oauthbearer the client id")
    kafka_password: Secret = _setting(
        Secret(""), "password at Kafka; with oauthbearer the client secret"
    )
    kafka_token_url: str = _setting("", "where oauthbearer gets its tokens (client credentials)")
    kafka_scope: str = _setting("", "scope that oauthbearer asks for")
    kafka_create: str = _setting(
        "on", "on or off: make missing topics; off = an administrator makes them"
    )
    kafka_replicas: int = _setting(-1, "copies of a new topic on Kafka; -1 = the cluster's default")
    lake_url: str = _setting(
        "", "s3://BUCKET[/PREFIX] of the lake's files; empty = the folder lake in data_dir"
    )
    lake_endpoint: str = _setting(
        "", "https:// address of an S3-compatible store; empty = AWS; http:// on loopback only"
    )
    lake_region: str = _setting("us-east-1", "region of the bucket")
    lake_key_id: str = _setting(
        "", "access key id; empty = AWS_* variables, a web identity or the machine's role"
    )
    lake_secret: Secret = _setting(Secret(""), "secret access key that belongs to the key id")
    lake_token: Secret = _setting(Secret(""), "session token, if the key id is a temporary one")
    lake_ca: str = _setting("", "file of the CA the store is believed by, beside the system's")
    lake_cache_mb: int = _setting(
        10_240, "most MiB of local copies of an object store's files, in data_dir"
    )
    partitions: int = _setting(8, "partitions of a new topic")
    share: str = _setting(
        "",
        "which partitions the pipelines of this process read: empty = all, as the one process; "
        "group = a share of them, by consumer group; 0-3,7 = these; alone = all again after a "
        "share, what was learnt by partition is dropped",
    )
    runner: str = _setting(
        "auto", "flow engine: auto, bytewax or loop; auto = bytewax if installed"
    )
    batch_rows: int = _setting(8192, "most rows in one event batch")
    linger_ms: int = _setting(100, "longest wait for a batch to fill, ms")
    lateness_s: int = _setting(60, "how much disorder the watermark allows for, seconds")
    idle_s: int = _setting(
        30, "after how long a caught-up partition stops holding the watermark, seconds"
    )
    capture_interface: str = _setting("", "network interface at which the source capture listens")
    ingest_max_bytes: int = _setting(16 << 20, "largest request body, after decompression, bytes")
    ingest_max_ratio: int = _setting(100, "largest decompressed : compressed ratio accepted")
    tenant_bytes_s: int = _setting(
        0,
        "bytes a second that a tenant may send, on average over 10 s and for each front door; "
        "0 = no bound; `inopsio tenant quota` gives a tenant its own",
    )
    lag_limit: int = _setting(
        200_000, "messages of lag on a partition above which ingest answers 429"
    )
    hot_days: int = _setting(
        0, "days of events kept in the database by event time; 0 = all (the lake keeps all)"
    )
    minute_days: int = _setting(8, "days that counts by the minute are kept; 0 = all")
    hour_days: int = _setting(400, "days that counts by the hour are kept; 0 = all")
    day_days: int = _setting(0, "days that counts by the day are kept; 0 = all")
    lake_days: int = _setting(0, "days of events kept in the lake by event time; 0 = all")
    raw_days: int = _setting(7, "days that read messages stay on the raw topic")
    events_topics: str = _setting(
        "",
        "tenants separated by ',', or all: their normalised events go to topics events.TENANT too",
    )
    rules_dirs: str = _setting("", "further Sigma rule folders, separated by ':'")
    session_idle_s: int = _setting(1800, "a session unused for so long ends, seconds")
    session_max_s: int = _setting(43_200, "a session ends after so long, seconds")
    payment_wait_s: int = _setting(
        60, "a payment is paid so long after its proposal at the earliest, seconds"
    )
    four_eyes: str = _setting(
        "off", "off, invoices, payments or all: of which the maker may not approve it too"
    )
    feed_addresses: str = _setting(
        "",
        "addresses or networks separated by ',' that feeds may be fetched from though they are "
        "private, and in clear; never link-local ones",
    )
    sealing_key: Secret = _setting(
        Secret(""), "key that secrets of feeds are encrypted with; empty = one made in data_dir"
    )
    log_level: str = _setting("info", "debug, info, warning or error")

    @property
    def agents_place(self) -> tuple[str, int]:
        """Give address and port of the agents' listener; port 0 = there is none."""
        port = self.agents_port or self.http_port + 1
        return self.agents_host or self.http_host, max(port, 0)

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read the INOPSIO_* variables; InvalidInput names the one that is wrong.

        Others that begin so are left alone: Kubernetes makes some for a service of that name.
        """
        given = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        for f in fields(cls):
            text = given.get(variable(f.name))
            if text is not None:
                values[f.name] = _parse(f.name, text, f.default)
        return cls(**values)


def variable(name: str) -> str:
    """Give the environment variable of a setting.

    >>> variable("data_dir")
    'INOPSIO_DATA_DIR'
    """
    return f"INOPSIO_{name.upper()}"


def _parse(name: str, text: str, default: object) -> object:
    try:
        if isinstance(default, Path):
            return Path(text)
        if isinstance(default, Secret):
            return Secret(text)
        if isinstance(default, int):
            return int(text)
    except ValueError:
        raise InvalidInput(f"{variable(name)} is {text!r}; it must be a whole number") from None
    return text


def reference() -> str:
    """Give the reference page of all settings as Markdown."""
    rows = [
        "# Settings",
        "",
        "Generated; environment variables only.",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    for f in fields(Settings):
        shown = "" if f.default is MISSING or isinstance(f.default, Secret) else f"`{f.default}`"
        rows.append(f"| `{variable(f.name)}` | {shown} | {f.metadata['meaning']} |")
    return "\n".join(rows) + "\n"
