"""What a message says does not depend on what it is read together with."""

import json
import random
from collections.abc import Sequence

import polars as pl
import pytest

from pipelines.decode import Decoded, decode_runs, parse_run
from pipelines.parsers._json import MORE
from pipelines.together import decode_all
from storage.log import Message
from storage.outcome import DeadLetter

_ARRIVED_US = 1_764_000_000_000_000
Said = tuple[list[tuple[object, ...]], list[DeadLetter], dict[tuple[str, str], int]]


def _ecs(n: int) -> bytes:
    event = {
        "@timestamp": f"2025-11-24T15:{n % 60:02}:00Z",
        "ecs": {"version": "8.0"},
        "event": {"category": ["process"], "type": ["start"]},
        "host": {"name": f"h{n % 3}", "ip": ["::ffff:10.0.0.1", "10.0.0.2"]},
        "process": {"pid": n, "executable": f"/bin/{n}"},
    }
    return json.dumps(event).encode() + b"\n"


def _windows(n: int) -> bytes:
    event = {"EventID": 1, "Channel": "Security", "Hostname": "w", "Image": f"C:\\{n}.exe"}
    return json.dumps(event).encode() + b"\n"


def _zeek(n: int) -> bytes:
    return json.dumps(
        {"ts": 1_764_000_000.25 + n, "uid": f"C{n}", "id.orig_h": "10.0.0.5"}
    ).encode()


_MAKERS = {"ecs_json": _ecs, "windows_json": _windows, "zeek_json": _zeek}
_BAD = (b"{not json}\n", b'["list"]\n', b"{}\n", b'{"a":\n"b"}\n', b"\xff\xfe{\n", b"plain\n")


def _messages(dice: random.Random, count: int) -> list[Message]:
    positions: dict[tuple[str, str], int] = {}
    found: list[Message] = []
    for n in range(count):
        tenant, source = dice.choice(("acme", "bolt")), f"s{dice.randrange(4)}"
        log_format = dice.choice(sorted(_MAKERS))
        lines = dice.randrange(1, 4)
        value = b"".join(_MAKERS[log_format](n * 10 + i).rstrip() + b"\n" for i in range(lines))
        if dice.random() < 0.1:
            value = dice.choice((dice.choice(_BAD), value + dice.choice(_BAD)))
        at = positions.get((tenant, source), 0)
        if dice.random() < 0.1:
            at = max(0, at - 2)  # sent again
        positions[tenant, source] = at + value.count(b"\n")
        headers = {"tenant": tenant, "source": f"{source}-{log_format}", "position": str(at)}
        headers["format"] = "auto" if dice.random() < 0.2 else log_format
        if dice.random() < 0.03:
            del headers[dice.choice(sorted(headers))]
        value = value[:-1] if dice.random() < 0.1 else value
        found.append(Message("raw.events", n * 2 // count, n, b"", value, headers, _ARRIVED_US + n))
    return found


def _said(decoded: Sequence[Decoded], known: dict[tuple[str, str], int]) -> Said:
    frames = [one.frame for one in decoded if one.frame is not None and one.frame.height]
    rows = pl.concat(frames, how="diagonal")
    used = sorted(s.name for s in rows if s.null_count() < len(s))
    letters = [letter for one in decoded for letter in one.letters]
    events = sum(progress.events for one in decoded for progress in one.progress)
    assert events == rows.height
    return (
        rows.select(used).rows(),
        sorted(letters, key=lambda x: (x.source, x.position, x.letter_id)),
        {pair: position for pair, position in known.items() if position},
    )


@pytest.mark.parametrize("seed", range(12))
def test_messages_read_together_say_what_they_say_alone(seed: int) -> None:
    messages = _messages(random.Random(seed), 60)
    known = {("acme", "s1-ecs_json"): 3}
    alone = [one for m in messages for one in decode_runs([m], known, parse_run)]
    decoded, after = decode_all(messages, {("acme", "s1-ecs_json"): 3})
    assert _said(decoded, after) == _said(alone, known)


def test_one_call_reads_messages_of_many_senders() -> None:
    messages = [
        Message(
            "raw.events", 0, n, b"", _ecs(n),
            {"tenant": "acme", "source": f"s{n}", "position": "0", "format": "ecs_json"}, n,
        )
        for n in range(100)
    ]  # fmt: skip
    decoded, after = decode_all(messages, {})
    assert [len(one.run) for one in decoded] == [100]
    assert set(after.values()) == {1}


def test_a_sender_of_too_many_keys_takes_no_field_from_others() -> None:
    flood = json.dumps({"ecs": {"version": "8"}} | {f"k{i}": "x" for i in range(2500)}).encode()
    values = [*(_ecs(n) for n in range(8)), flood, *(_ecs(n) for n in range(8, 16))]
    messages = [
        Message(
            "raw.events", 0, n, b"", value,
            {"tenant": "acme", "source": f"s{n}", "position": "0", "format": "ecs_json"}, n,
        )
        for n, value in enumerate(values)
    ]  # fmt: skip
    decoded, _ = decode_all(messages, {})
    rows = pl.concat([one.frame for one in decoded if one.frame is not None], how="diagonal")
    others = rows.filter(pl.col("source") != "s8")
    assert others["process.pid"].null_count() == 0
    assert others[f"unmapped.{MORE}"].null_count() == others.height
