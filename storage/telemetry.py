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


METRICS: Final[tuple[Metric, ...]] = (
    Metric("inopsio_events_read_total", "counter", "events parsed and committed"),
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
    Metric("inopsio_ingest_bytes_total", "counter", "bytes accepted at the front door"),
    Metric("inopsio_ingest_refused_total", "counter", "requests refused at the front door"),
    Metric("inopsio_requests_total", "counter", "HTTP requests answered"),
    Metric("inopsio_requests_failed_total", "counter", "HTTP requests answered with 5xx"),
    Metric("inopsio_outbox_rows", "gauge", "rows waiting to be told to the log"),
)

_DECLARED: Final = {m.name: m for m in METRICS}
_LOCK = threading.Lock()
_VALUES: dict[str, float] = dict.fromkeys(_DECLARED, 0.0)


def count(name: str, amount: float = 1) -> None:
    """Add to a declared counter; KeyError for a name that is not declared."""
    with _LOCK:
        _VALUES[_DECLARED[name].name] += amount


def gauge(name: str, value: float) -> None:
    """Set a declared gauge."""
    with _LOCK:
        _VALUES[_DECLARED[name].name] = value


def values() -> Mapping[str, float]:
    """Give a copy of all values of this process."""
    with _LOCK:
        return dict(_VALUES)


def exposition(seen: Mapping[str, float] | None = None) -> str:
    """Give the values in Prometheus' text format."""
    now = values() if seen is None else seen
    lines: list[str] = []
    for m in METRICS:
        lines += [f"# HELP {m.name} {m.meaning}", f"# TYPE {m.name} {m.kind}"]
        lines.append(f"{m.name} {now.get(m.name, 0.0):.15g}")
    return "\n".join(lines) + "\n"
