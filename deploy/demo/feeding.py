"""Bring the company's rows to the front door: logs by position, commands of the books in order."""

import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

import httpx

from deploy.demo.rows import CRM, DAY, ERP, FORMATS, Row
from storage.errors import Unavailable

BODY_BYTES: Final = 4 << 20
LONGEST_WAIT_S: Final = 60.0
_RETRIED: Final = frozenset({429, 502, 503, 504})
_IN: Final = re.compile(r"try again in (\d+) s")
_NOT_YET: Final = ("screened", "waits for")
_BEFORE: Final = (" already", ", not ")
"""How the house says that a change was made before: after a stop the last step is sent again."""


@dataclass(slots=True)
class Fed:
    """Count what became of what was sent. `held`: payments that the house holds."""

    lines: int = 0
    commands: int = 0
    repeated: int = 0
    held: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)


class Feeder:
    """Send rows to a running house by HTTP; waits where the house says so.

    `positions`: where each log source stands. Not for use by several threads at once.
    """

    def __init__(
        self,
        url: str,
        token: str,
        stop: threading.Event,
        positions: Mapping[str, int] | None = None,
    ) -> None:
        """Open the connection; nothing is sent yet."""
        self.positions: dict[str, int] = dict(positions or {})
        self.fed = Fed()
        self._stop = stop
        self._later: list[tuple[float, Row]] = []
        self._looked_s = 0.0
        limits = httpx.Limits(max_connections=8)
        headers = {"Authorization": f"Bearer {token}"}
        self._door = httpx.Client(base_url=url, headers=headers, timeout=60, limits=limits)
        self._hands = ThreadPoolExecutor(4, thread_name_prefix="feed")

    def close(self) -> None:
        """Let go of the connection and the threads."""
        self._hands.shutdown(cancel_futures=True)
        self._door.close()

    def send(self, rows: Iterable[Row]) -> None:
        """Send the rows of one step: each source in order, sources side by side; wait for all."""
        by_source: dict[str, list[Row]] = {}
        for row in rows:
            by_source.setdefault(row.source, []).append(row)
        if self._due():
            by_source.setdefault(ERP, [])
        work = [
            self._hands.submit(self._commands if s in (ERP, CRM) else self._lines, s, found)
            for s, found in by_source.items()
        ]
        for one in work:
            one.result()

    def settle(self) -> None:
        """Send what had to wait, until none is left or told to stop."""
        while self._later and not self._stop.wait(0.5):
            self.send(())

    def lag(self) -> int:
        """Give how many messages the pipelines have not read yet."""
        told = self._answer("GET", "/v1/health/status", {})
        return int(told.json()["lag_messages"] or 0)

    def drain(self, most: int = 0) -> None:
        """Wait until the pipelines are at most so many messages behind."""
        while not self._stop.is_set() and self.lag() > most:
            self._stop.wait(0.3)

    def keep_close(self, most: int) -> None:
        """Look every other second whether the pipelines keep up; wait for them if not."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= 2.0:
            self._looked_s = now_s
            self.drain(most)

    def _lines(self, source: str, rows: list[Row]) -> None:
        for body, count in _bodies(rows):
            place = self.positions.get(source, 0)
            asked = {"source": source, "format": FORMATS[source], "position": place}
            answer = self._answer("POST", "/v1/ingest", asked, content=body)
            if answer.status_code != httpx.codes.ACCEPTED:
                raise Unavailable(f"{source} was refused: {answer.status_code} {answer.text[:300]}")
            self.positions[source] = place + count
            self.fed.lines += count

    def _commands(self, source: str, rows: list[Row]) -> None:
        now_s = time.monotonic()
        due = [row for at, row in self._later if at <= now_s and row.source == source]
        if due:
            self._later = [(at, r) for at, r in self._later if at > now_s or r.source != source]
        for row in due + rows:
            if self._stop.is_set():
                return
            self._command(row)

    def _due(self) -> bool:
        now_s = time.monotonic()
        return any(at <= now_s for at, _ in self._later)

    def _command(self, row: Row) -> None:
        command = row.command
        if command is None:
            return
        body = {**command.body, **command.who}
        answer = self._answer(command.method, command.path, {}, json=body)
        if answer.status_code == httpx.codes.PRECONDITION_REQUIRED:
            # This one wants to be told which version the change is meant for.
            seen = self._answer("GET", command.path.rpartition("/")[0], {})
            headers = {"If-Match": seen.headers.get("ETag", '"1"')}
            answer = self._answer(command.method, command.path, {}, json=body, headers=headers)
        self._take(row, answer)

    def _take(self, row: Row, answer: httpx.Response) -> None:
        command = row.command
        if command is None or answer.is_success:
            self.fed.commands += 1
            return
        detail = str(answer.json().get("detail", answer.text[:200]))
        if answer.status_code == httpx.codes.CONFLICT:
            if any(word in detail for word in _NOT_YET):
                found = _IN.search(detail)
                wait_s = float(found[1]) if found else 1.5
                self._later.append((time.monotonic() + wait_s, row))
                return
            if "on hold" in detail:
                self.fed.held.add(command.fact[2])
                return
            if any(word in detail for word in _BEFORE):
                self.fed.repeated += 1
                return
        where = "/".join(command.path.split("/")[2::2])
        self.fed.refused[f"{answer.status_code} {where}: {detail[:160]}"] += 1

    def _answer(
        self,
        method: str,
        path: str,
        asked: Mapping[str, Any],
        **more: Any,  # noqa: ANN401  httpx's
    ) -> httpx.Response:
        """Knock until the door answers; it may ask to wait. Unavailable if told to stop."""
        wait_s = 0.2
        while True:
            try:
                answer = self._door.request(method, path, params=asked, **more)
                if answer.status_code not in _RETRIED:
                    return answer
                pause_s = float(answer.headers.get("Retry-After", wait_s))
            except httpx.TransportError:
                pause_s = wait_s
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)
            if self._stop.wait(min(pause_s, LONGEST_WAIT_S)):
                raise Unavailable("told to stop while the house asked to wait")


def _bodies(rows: list[Row]) -> Iterator[tuple[bytes, int]]:
    lines: list[bytes] = []
    size = 0
    for row in rows:
        lines.append(row.line)
        size += len(row.line) + 1
        if size >= BODY_BYTES:
            yield b"\n".join(lines) + b"\n", len(lines)
            lines, size = [], 0
    if lines:
        yield b"\n".join(lines) + b"\n", len(lines)


def steps(
    rows: Iterable[Row], width_us: int, logs_from_us: int = 0
) -> Iterator[tuple[int, list[Row]]]:
    """Cut rows in order of time into steps; give each step's end (UTC µs) with its rows.

    Before `logs_from_us` only the books speak: there a step is a day.
    """

    def end_of(row: Row) -> int:
        width = width_us if row.time_us >= logs_from_us else DAY
        end = (row.time_us // width + 1) * width
        return end if row.time_us >= logs_from_us else min(end, logs_from_us)

    for end_us, found in groupby(rows, key=end_of):
        yield end_us, list(found)
