"""Count what happens: every metric is declared here once, with its unit and meaning."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """Declare one metric in Prometheus words."""

    name: str
    kind: Literal["counter", "gauge"]
    meaning: str
    labels: tuple[str, ...] = ()


METRICS: Final[tuple[Metric, ...]] = (
    Metric("inopsio_events_read_total", "counter", "events parsed and committed"),
    Metric("inopsio_agents_refused_total", "counter", "requests of agents and enrolments refused"),
    Metric("inopsio_events_late_total", "counter", "events behind the watermark when read"),
    Metric(
        "inopsio_events_clamped_total", "counter", "events that claimed a time over 5 min ahead"
    ),
    Metric("inopsio_records_rejected_total", "counter", "records sent to the dead letter"),
    Metric("inopsio_messages_repeated_total", "counter", "messages dropped as already read"),
    Metric("inopsio_findings_total", "counter", "findings committed"),
    Metric(
        "inopsio_claims_capped_total",
        "counter",
        "claims of a rule beyond 1,000 in 10 min of event time, counted and not kept",
    ),
    Metric(
        "inopsio_detector_rows_skipped_total",
        "counter",
        "events a detector that raised did not see",
    ),
    Metric("inopsio_state_evicted_total", "counter", "entities evicted from detector state"),
    Metric("inopsio_commits_total", "counter", "steps committed"),
    Metric("inopsio_lag_messages", "gauge", "messages not yet read, all partitions"),
    Metric(
        "inopsio_flow_lag_messages",
        "gauge",
        "messages of a partition that a flow has not read",
        ("flow", "topic", "partition"),
    ),
    Metric(
        "inopsio_group_lag_messages",
        "gauge",
        "messages of a partition that a business module has not handled",
        ("group", "topic", "partition"),
    ),
    Metric(
        "inopsio_tenant_ingest_bytes_total",
        "counter",
        "bytes accepted at the front door; the asking tenant's own",
        ("tenant",),
    ),
    Metric(
        "inopsio_tenant_refused_total",
        "counter",
        "requests refused over the quota; the asking tenant's own",
        ("tenant",),
    ),
    Metric("inopsio_ingest_bytes_total", "counter", "bytes accepted at the front door"),
    Metric("inopsio_ingest_refused_total", "counter", "requests refused at the front door"),
    Metric("inopsio_requests_total", "counter", "HTTP requests answered"),
    Metric("inopsio_requests_failed_total", "counter", "HTTP requests answered with 5xx"),
    Metric(
        "inopsio_capture_packets_total",
        "counter",
        "packets a sensor saw since it started; the asking tenant's own",
        ("tenant", "sensor", "interface"),
    ),
    Metric(
        "inopsio_capture_dropped_total",
        "counter",
        "packets the kernel dropped for a sensor since it started; the asking tenant's own",
        ("tenant", "sensor", "interface"),
    ),
    Metric("inopsio_outbox_rows", "gauge", "rows waiting to be told to the log"),
)

_DECLARED: Final = {m.name: m for m in METRICS}
_LOCK = threading.Lock()
_VALUES: dict[str, float] = {m.name: 0.0 for m in METRICS if not m.labels}
_LABELLED: dict[str, dict[tuple[str, ...], float]] = {m.name: {} for m in METRICS if m.labels}
_ESCAPED: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def count(name: str, amount: float = 1, **labels: str) -> None:
    """Add to a declared counter; KeyError for a name or labels that are not declared."""
    _put(name, labels, amount, is_added=True)


def gauge(name: str, value: float, **labels: str) -> None:
    """Set a declared gauge; KeyError for a name or labels that are not declared."""
    _put(name, labels, value, is_added=False)


def forget(name: str) -> None:
    """Drop the values of a gauge with labels: what it told of may be gone."""
    with _LOCK:
        _LABELLED[name].clear()


def replace(name: str, tenant: str, told: Mapping[tuple[str, ...], float]) -> None:
    """Put what is true now in place of all that a metric said of a tenant (its first label)."""
    if _DECLARED[name].labels[0] != "tenant":
        raise KeyError(f"{name} is not counted by tenant")
    with _LOCK:
        mine = _LABELLED[name]
        for key in [key for key in mine if key[0] == tenant]:
            del mine[key]
        mine.update({(tenant, *key): value for key, value in told.items()})


def values() -> Mapping[str, float]:
    """Give a copy of all values of this process that have no labels."""
    with _LOCK:
        return dict(_VALUES)


def exposition(seen: Mapping[str, float] | None = None, tenant: str | None = None) -> str:
    """Give the values in Prometheus' text format; of those by tenant, only the one asked for."""
    now = values() if seen is None else seen
    lines: list[str] = []
    for m in METRICS:
        lines += [f"# HELP {m.name} {m.meaning}", f"# TYPE {m.name} {m.kind}"]
        if m.labels:
            lines += _series(m, tenant)
        else:
            lines.append(f"{m.name} {now.get(m.name, 0.0):.15g}")
    return "\n".join(lines) + "\n"


def _put(name: str, labels: Mapping[str, str], amount: float, *, is_added: bool) -> None:
    metric = _DECLARED[name]
    if set(labels) != set(metric.labels):
        raise KeyError(f"{name} has the labels {metric.labels}, not {tuple(labels)}")
    with _LOCK:
        if not labels:
            _VALUES[name] = amount + (_VALUES[name] if is_added else 0)
            return
        mine, key = _LABELLED[name], tuple(labels[one] for one in metric.labels)
        mine[key] = amount + (mine.get(key, 0.0) if is_added else 0)


def _series(metric: Metric, tenant: str | None) -> list[str]:
    with _LOCK:
        found = sorted(_LABELLED[metric.name].items())
    lines = []
    for key, value in found:
        named = dict(zip(metric.labels, key, strict=True))
        if named.get("tenant", tenant) != tenant:
            continue
        text = ",".join(f'{name}="{said.translate(_ESCAPED)}"' for name, said in named.items())
        lines.append(f"{metric.name}{{{text}}} {value:.15g}")
    return lines
