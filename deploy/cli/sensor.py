"""`inopsio sensor`: listen at a network interface and keep what is seen as events in a file."""

import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Final, Self

import cyclopts

from deploy.output import DONE, FAILED, WRONG_USE, say
from deploy.running import until_told_to_stop
from pipelines.network.ring import Ring
from pipelines.sources.capture import CaptureSource
from storage.errors import Unavailable

EVENTS: Final = "events.ndjson"
METRICS: Final = "metrics.prom"
LEAST_MB: Final = 2


def register(app: cyclopts.App) -> None:
    """Add the command."""
    app.command(sensor)


def sensor(
    interface: str,
    *,
    out: Path | None = None,
    max_mb: int = 256,
    fanout: int | None = None,
    name: str | None = None,
) -> int:
    """Listen until told to stop; one event a line, as OCSF NDJSON.

    Needs Linux and CAP_NET_RAW. The agent of the host ships the file (see `run-the-sensor`).

    Parameters
    ----------
    interface
        where to listen, for example eth0.
    out
        folder of events.ndjson and metrics.prom; without it events go to standard output.
    max_mb
        most MiB of events that the folder holds; the older half goes first.
    fanout
        number of a group of sensors that share one interface's flows.
    name
        what the sensor is called in its events; the host's name if not said.
    """
    if max_mb < LEAST_MB:
        say(f"inopsio sensor: --max-mb must be {LEAST_MB} or more")
        return WRONG_USE
    stop = until_told_to_stop()
    try:
        with Ring(interface, fanout=fanout) as ring:
            source = CaptureSource(ring, interface, name or socket.gethostname())
            threading.Thread(target=_close_at, args=(stop, source), daemon=True).start()
            _keep(source, out, max_mb << 20)
    except (Unavailable, OSError) as refused:
        say(f"inopsio sensor: {refused}")
        return FAILED
    say(f"{interface}: {source.packets} packets, {source.drops} dropped by the kernel")
    return DONE


def _close_at(stop: threading.Event, source: CaptureSource) -> None:
    stop.wait()
    source.close()


def _keep(source: CaptureSource, folder: Path | None, most_bytes: int) -> None:
    if folder is None:
        for chunk in source.chunks({}):
            sys.stdout.buffer.write(chunk.value)
            sys.stdout.buffer.flush()
        return
    folder.mkdir(parents=True, exist_ok=True)
    with EventFile(folder / EVENTS, most_bytes) as kept:
        for chunk in source.chunks({}):
            kept.add(chunk.value)
            write_metrics(folder / METRICS, source)


class EventFile:
    """Append lines to a file; when it is half of the bound, it becomes FILE.1 and a new one begins.

    The reader that follows it reads FILE.1 to its end first. What it had not read of an older
    FILE.1 is gone.
    """

    def __init__(self, path: Path, most_bytes: int) -> None:
        """Go on with the file at `path`."""
        self._path, self._half = path, most_bytes // 2
        self._file = self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _open(self) -> BinaryIO:
        self._path.touch(mode=0o600)
        return self._path.open("ab", buffering=0)

    def add(self, lines: bytes) -> None:
        """Append whole lines."""
        if self._file.tell() and self._file.tell() + len(lines) > self._half:
            self._file.close()
            self._path.replace(self._path.with_name(self._path.name + ".1"))
            self._file = self._open()
        self._file.write(lines)


def write_metrics(path: Path, source: CaptureSource) -> None:
    """Write the counts for a Prometheus node exporter (textfile collector), in one step."""
    labels: Mapping[str, str] = {"sensor": source.sensor, "interface": source.interface}
    told = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items())
    text = "".join(
        f"# TYPE {metric} counter\n{metric}{{{told}}} {value}\n"
        for metric, value in (
            ("inopsio_capture_packets_total", source.packets),
            ("inopsio_capture_dropped_total", source.drops),
        )
    )
    beside = path.with_name(path.name + ".new")
    beside.write_text(text)
    beside.replace(path)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
