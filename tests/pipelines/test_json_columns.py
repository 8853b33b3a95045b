"""The fast decoder says what the thorough one says, or stays silent."""

import json
import random
import string

import polars as pl
import pytest

from pipelines.parsers import _json
from pipelines.parsers._json_columns import columns_of

_LETTERS = string.printable + "äß漢\u0000😀"
_ODD = ("2020-01-01", "2020-01-01T00:00:00Z", "2020-01-01 10:11:12", "true", "1", "1.5", "null", "")


def _value(dice: random.Random, depth: int = 0) -> object:
    kind = dice.randrange(10 if depth < 3 else 9)
    if kind < 3:
        return "".join(dice.choices(_LETTERS, k=dice.randrange(12)))
    if kind < 5:
        return dice.choice((dice.choice(_ODD), 0, -1, 2**40, 2**63 - 1, True, None))
    if kind < 7:
        return [dice.choice(("a", "b\nc", "", None)) for _ in range(dice.randrange(4))]
    if kind < 9:
        return [1, 2] if kind == 7 else dice.choice(_ODD)
    return {dice.choice("abcd"): _value(dice, depth + 1) for _ in range(dice.randrange(4))}


def _like(dice: random.Random, value: object) -> object:
    """Give another value of the same kind, mostly."""
    if isinstance(value, dict):
        return {k: _like(dice, v) for k, v in value.items() if dice.random() < 0.9}
    if isinstance(value, str):
        return _value(dice) if dice.random() < 0.002 else value + dice.choice(("", "q"))
    if type(value) is int:
        return dice.randrange(-5, 10**12)
    return value[: dice.randrange(len(value) + 1)] if isinstance(value, list) else value


def _said(text: bytes) -> tuple[pl.DataFrame, list[object]]:
    found = list(_json.decode([text]))
    frame = pl.concat([r.fields.with_columns(r.position) for r in found], how="diagonal")
    used = sorted(s.name for s in frame if s.null_count() < len(s))
    return frame.select(used), [reject for r in found for reject in r.rejects]


def test_both_decoders_say_the_same_of_made_up_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(20)
    fast = 0
    for _ in range(60):
        proto = {name: _value(dice) for name in "abcdefg"}
        rows = [_like(dice, proto) if dice.random() < 0.999 else _value(dice) for _ in range(50)]
        text = b"".join(
            json.dumps(row, ensure_ascii=dice.random() < 0.5).encode() + b"\n" for row in rows
        )
        fast += columns_of(text, 50, _json.FLAT_DEPTH, _json.MAX_KEYS) is not None
        frame, rejects = _said(text)
        with monkeypatch.context() as patched:
            patched.setattr(_json, "columns_of", lambda *_: None)
            slow_frame, slow_rejects = _said(text)
        assert frame.equals(slow_frame)
        assert rejects == slow_rejects
    assert fast > 30


@pytest.mark.parametrize(
    "line",
    [
        b'{"a":1.50}',
        b'{"a":1}{"a":2}',
        b'{"a":[{"b":1}]}',
        b'{"a":1,"a":2}',
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b'{"a.b":1,"a":{"b":2}}',
        b"{}",
        b'{"a":"x"}',
        b" ",
        b'{"a":99999999999999999999}',
        b'{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":1}}}}}}}}}',
    ],
)
def test_a_line_that_is_not_plain_is_left_to_the_thorough_decoder(line: bytes) -> None:
    text = b'{"a":7}\n' * 40 + line + b"\n"
    assert columns_of(text, 41, _json.FLAT_DEPTH, _json.MAX_KEYS) is None


def test_two_objects_on_a_line_do_not_make_up_for_an_empty_one() -> None:
    text = b'{"a":7}\n' * 40 + b'{"a":1}{"a":2}\n\n'
    assert columns_of(text, 42, _json.FLAT_DEPTH, _json.MAX_KEYS) is None
