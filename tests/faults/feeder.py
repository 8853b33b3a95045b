"""Send the stream to the front door, in a process of its own that may be killed at any moment.

`python -m tests.faults.feeder FOLDER`: `FOLDER/feed.json` says where and what. Each answer becomes
a line of `FOLDER/answers`: number, status (0 = no answer), seconds it took, moment. A request is
sent until it is kept; a feeder that is started again goes on behind the last that was kept. It ends
when `FOLDER/stop` is there or `until` requests are kept.
"""

import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import httpx

from tests.faults.stream import Request, first_requests, request

_PAUSE_S: Final = 0.25
_ANSWER_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Answers:
    """What the door said so far. `kept`: that many requests of the stream."""

    kept: int
    statuses: Counter[int]
    slowest_s: float
    last_at: float


def answers(folder: Path) -> Answers:
    """Read what the feeder wrote; a line that a kill cut off does not count."""
    kept, slowest_s, last_at = 0, 0.0, 0.0
    statuses: Counter[int] = Counter()
    place = folder / "answers"
    whole = place.read_text().rpartition("\n")[0] if place.exists() else ""
    for line in whole.splitlines():
        words = line.split()
        if len(words) != 4:  # a kill cut it off, and the next feeder wrote on behind it
            continue
        number, status, took_s, at = words
        statuses[int(status)] += 1
        slowest_s = max(slowest_s, float(took_s))
        if status in {"201", "202"}:
            kept, last_at = max(kept, int(number) + 1), float(at)
    return Answers(kept, statuses, slowest_s, last_at)


def main(folder: Path) -> None:
    """Feed until told to stop."""
    said: dict[str, Any] = json.loads((folder / "feed.json").read_text())
    n, until = answers(folder).kept, said["until"]
    base_s = said["began_s"]
    with (
        httpx.Client(base_url=said["url"], timeout=_ANSWER_S) as door,
        (folder / "answers").open("ab", buffering=0) as told,
    ):
        if n == 0:
            for at, first in enumerate(first_requests()):
                _sent(door, said["tokens"], first, at - 100, told)
        # A request without an answer may have been kept: it is sent again until that is known.
        in_doubt = n > 0
        while (in_doubt or not (folder / "stop").exists()) and (until is None or n < until):
            wait_s = base_s + n / said["per_s"] - time.time() if said["per_s"] else 0
            if wait_s > 0:
                time.sleep(min(wait_s, _PAUSE_S))
            else:
                in_doubt = not _sent(door, said["tokens"], request(said["seed"], n), n, told)
                n += not in_doubt


def _sent(
    door: httpx.Client, tokens: dict[str, dict[str, str]], what: Request, n: int, told: IO[bytes]
) -> bool:
    token = tokens[what.tenant]["ingest" if what.accepted == 202 else "integration"]
    began = time.monotonic()
    head = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        answer = door.post(what.path, params=what.params, content=what.body, headers=head)
        status = answer.status_code
        if status >= 500 or status not in {what.accepted, 429}:
            print(n, status, answer.text[:300], flush=True)
    except httpx.TransportError:
        status = 0
    told.write(f"{n} {status} {time.monotonic() - began:.3f} {time.time():.3f}\n".encode())
    if status == what.accepted:
        return True
    time.sleep(_PAUSE_S)
    return False


if __name__ == "__main__":
    main(Path(sys.argv[1]))
