import json
from collections.abc import Iterator

import polars as pl
import pytest

from pipelines import parsing
from pipelines.parsers import Reject
from pipelines.parsers._json import MAX_KEYS, decode
from pipelines.parsing import NO_TIME, parse_stream, split_stream
from storage.errors import InvalidBatch
from storage.schema import EventBatch

NOW_US = 1_700_000_000_000_000


def fields(text: bytes) -> pl.DataFrame:
    (found,) = decode([text])
    return found.fields


def rejects(text: bytes) -> list[tuple[int, str]]:
    return [(r.position, r.reason) for found in decode([text]) for r in found.rejects]


def read(text: bytes, **more: int) -> list[tuple[EventBatch, list[Reject]]]:
    return list(
        parse_stream(
            "ocsf_json",
            [text],
            tenant_id="acme",
            source="s",
            name="a.json",
            ingested_at_us=NOW_US,
            **more,
        )
    )


def test_values_are_the_text_that_was_written() -> None:
    row = fields(
        b'{"i":1,"f":1.50,"e":1e5,"big":123456789012345678901234567890,"t":true,"n":null,'
        b'"o":{"k":"v","l":[1,"2"],"d":[{"x":1}]}}'
    ).row(0, named=True)
    assert row == {
        "i": "1",
        "f": "1.50",
        "e": "1e5",
        "big": "123456789012345678901234567890",
        "t": "true",
        "n": None,
        "o.k": "v",
        "o.l": "1\n2",
        "o.d": '[{"x":1}]',
    }


def test_keys_of_every_shape_are_found_and_rows_keep_their_order() -> None:
    frame = fields(b"\n".join(b'{"n":%d,"k%d":"x"}' % (n, n % 7) for n in range(100)))
    assert frame["n"].to_list() == [str(n) for n in range(100)]
    assert frame["k3"].is_not_null().sum() == 14


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1}\n{"a":2}\n',
        b'[{"a":1},{"a":2}]',
        b'[\n  {"a":1},\n  {"a":2}\n]\n',
        b'{\n  "a": 1\n}\n{\n  "a": 2\n}',
        b'\xef\xbb\xbf{"a":1}\n{"a":2}',
        '{"a":1}\n{"a":2}\n'.encode("utf-16"),
    ],
)
def test_every_layout_of_json_gives_the_same_records(text: bytes) -> None:
    for size in (1, 7, 10_000):
        pieces = [text[i : i + size] for i in range(0, len(text), size)]
        (found,) = decode(pieces)
        assert found.fields.to_dicts() == [{"a": "1"}, {"a": "2"}]


def test_bad_lines_are_refused_by_number_and_the_rest_goes_on() -> None:
    text = b'{"a":1}\nno\n\n{"a":2}\n[1]\n{"a":' + b"[" * 99 + b"]" * 99 + b'}\n{"a":3}'
    (found,) = decode([text])
    assert found.position.to_list() == [0, 3, 6]
    assert [r.position for r in found.rejects] == [1, 4, 5]
    assert [r.reason.split(":")[0] for r in found.rejects] == [
        "not JSON",
        "JSON list, not an object",
        "nested deeper than 32",
    ]


def test_a_line_over_the_limit_is_refused_with_its_head() -> None:
    text = b'{"a":"' + b"x" * 3_000_000 + b'"}\n{"a":1}\n'
    (found,) = decode([text[i : i + 65536] for i in range(0, len(text), 65536)])
    assert found.fields.to_dicts() == [{"a": "1"}]
    (reject,) = found.rejects
    assert (reject.position, len(reject.raw)) == (0, 65536)
    assert "longer than 1048576" in reject.reason


def test_a_bad_byte_does_not_hide_an_event() -> None:
    assert fields(b'{"a":"x\xff"}').item() == "x\ufffd"
    assert fields(b'{"a":"\\ud800x"}').item() == "\ufffdx"
    assert fields(b'{"a":"x\\u0000"}').item() == "x\ufffd"


def test_too_many_keys_go_into_one_field() -> None:
    text = b"\n".join(b'{"same":1,"k%d":"v"}' % n for n in range(MAX_KEYS + 500))
    frame = fields(text)
    assert frame.width == MAX_KEYS
    kept = frame["_more"].drop_nulls().to_list()
    assert len(kept) == 502
    assert json.loads(kept[0])


def test_the_envelope_is_complete_and_never_from_data() -> None:
    line = b'{"class_uid":1007,"activity_id":1,"time":1600000000000,"tenant_id":"evil"}'
    ((batch, _),) = read(line, first_position=40)
    row = batch.frame.row(0, named=True)
    assert (row["tenant_id"], row["source"], row["position"]) == ("acme", "s", 40)
    assert (row["category_uid"], row["type_uid"], row["severity_id"]) == (1, 100701, 1)
    assert row["metadata.log_format"] == "ocsf_json"
    assert row["unmapped.tenant_id"] == "evil"


def test_the_same_bytes_give_the_same_ids_however_they_are_cut() -> None:
    text = b"\n".join(b'{"class_uid":1007,"time":%d}' % (1600000000000 + n) for n in range(50))
    whole = [i for batch, _ in read(text) for i in batch.frame["event_id"].to_list()]
    cut = [
        i
        for position, message in split_stream("ocsf_json", [text], 200)
        for batch, _ in read(message, first_position=position)
        for i in batch.frame["event_id"].to_list()
    ]
    assert cut == whole
    assert len(set(whole)) == 50


def test_a_missing_time_is_the_arrival_and_said_so() -> None:
    ((batch, _),) = read(b'{"class_uid":0}\n{"class_uid":0,"time":"2020-01-01T00:00:00Z"}')
    assert batch.frame["time"].cast(pl.Int64).to_list() == [NOW_US, 1_577_836_800_000_000]
    assert batch.frame[NO_TIME].to_list() == ["true", None]


def test_a_time_far_ahead_is_clamped_and_flagged() -> None:
    ahead = (b'{"class_uid":0,"time":%d}' % (NOW_US // 1000 + m * 60_000) for m in (4, 6))
    ((batch, _),) = read(b"\n".join(ahead))
    assert batch.frame["is_time_clamped"].to_list() == [False, True]
    assert batch.frame["time"].cast(pl.Int64)[1] == NOW_US


def test_what_a_decoder_raises_becomes_invalid_batch_after_the_good_part() -> None:
    def broken() -> Iterator[bytes]:
        yield b'{"class_uid":0}\n' * 9000
        raise ZeroDivisionError("odd")

    found = parse_stream(
        "ocsf_json", broken(), tenant_id="t", source="s", name="f", ingested_at_us=NOW_US
    )
    assert len(next(found)[0]) == 8192
    with pytest.raises(InvalidBatch, match=r"f: cannot be read as ocsf_json: ZeroDivisionError"):
        next(found)


def test_a_refused_line_is_refused_again_after_cutting() -> None:
    text = b'{"class_uid":0}\n{"a":"' + b"x" * 2_000_000 + b'"}\n{"class_uid":0}\n'
    (message,) = split_stream("ocsf_json", [text])
    assert len(message[1]) < 100_000
    ((batch, refused),) = read(message[1])
    assert batch.frame["position"].to_list() == [0, 2]
    assert [r.position for r in refused] == [1]


def test_every_parser_survives_every_head() -> None:
    for module in parsing.parsers().values():
        for head in (b"", b"\0", b"{", b"\xff" * 100, b"a\n" * 100):
            assert 0.0 <= module.matches(head) <= 1.0


@pytest.mark.parametrize("limit", [100, 1000])
def test_messages_depend_on_the_bytes_alone(limit: int) -> None:
    text = b"\n".join(b'{"class_uid":0,"n":"%s"}' % (b"x" * (n * 37 % 150)) for n in range(200))
    cuts = [
        list(split_stream("ocsf_json", [text[i : i + s] for i in range(0, len(text), s)], limit))
        for s in (1, 333, 10**6)
    ]
    assert cuts[0] == cuts[1] == cuts[2]
    assert b"".join(message for _, message in cuts[0]) == text
    assert max(len(message) for _, message in cuts[0]) <= max(limit, 180)
