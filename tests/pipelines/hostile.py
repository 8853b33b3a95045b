"""Make hostile files and messages, the same ones every time: what attackers and accidents send.

`corpus(count)` gives `Hostile` values. `stream` is what one would send to a parser, `format` which
one; `file` cases go through detection and archives instead. `good` is how many records of it are
fine and must come out.
"""

import gzip
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice

import zstandard

GOOD_LINE = b'{"class_uid":1007,"activity_id":1,"time":1600000000000,"process":{"pid":7}}\n'
LINE_FORMATS = ("ocsf_json", "windows_json", "ecs_json")


@dataclass(frozen=True, slots=True)
class Hostile:
    """One case. `format` None: a file whose format must be found out."""

    kind: str
    value: bytes
    format: str | None = None


Maker = Callable[[random.Random], Hostile]


def _json_case(kind: str) -> Callable[[Callable[[random.Random], bytes]], Maker]:
    def wrap(make: Callable[[random.Random], bytes]) -> Maker:
        def maker(rng: random.Random) -> Hostile:
            return Hostile(kind, make(rng), rng.choice(LINE_FORMATS))

        return maker

    return wrap


@_json_case("half line")
def _half_line(rng: random.Random) -> bytes:
    return GOOD_LINE[: rng.randrange(1, len(GOOD_LINE) - 2)]


@_json_case("deep nesting")
def _deep(rng: random.Random) -> bytes:
    depth = rng.choice((40, 500, 5_000, 100_000))
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    return b'{"a":' + opening * depth + b"1" + closing * depth + b"}"


@_json_case("zero bytes")
def _zeros(rng: random.Random) -> bytes:
    return b"\0" * rng.randrange(1, 5000)


@_json_case("random bytes")
def _random(rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(1, 3000)).replace(b"\n", b"x") + b"\xfe"


@_json_case("10 MB field")
def _long(rng: random.Random) -> bytes:
    return b'{"a":"' + bytes([rng.randrange(97, 122)]) * 10_000_000 + b'"}'


@_json_case("no object")
def _no_object(rng: random.Random) -> bytes:
    return rng.choice((b"[1,2]", b'"text"', b"17", b"null", b"true", b"1e999", b"{]", b"}{"))


@_json_case("wrong encoding")
def _wrong_encoding(rng: random.Random) -> bytes:
    text = '{"a":"é"}'.encode(rng.choice(("utf-16-be", "utf-32", "cp037")))
    return text.replace(b"\n", b"x")


@_json_case("broken string")
def _broken_string(rng: random.Random) -> bytes:
    return rng.choice((b'{"a":"\\x41"}', b'{"a":"b}', b"{'a':1}", b'{"a":"\\u12"}', b'{"a" 1}'))


def _evtx(rng: random.Random) -> Hostile:
    head = bytearray(b"ElfFile\0" + bytes(4088))
    body = bytearray(rng.randbytes(65536))
    struct.pack_into("<8s", body, 0, rng.choice((b"ElfChnk\0", b"ElfChnk\0", b"garbage!")))
    if rng.random() < 0.5:
        struct.pack_into("<IIQ", body, 512, 0x2A2A, rng.choice((0, 28, 2**31, 4000)), 1)
    return Hostile(
        "broken EVTX", bytes(head + body[: rng.choice((10, 600, 40_000, 65536))]), "evtx"
    )


def _gzip_bomb(rng: random.Random) -> Hostile:
    return Hostile("gzip bomb", gzip.compress(bytes(rng.randrange(3, 9) * 1_000_000)))


def _zstd_bomb(rng: random.Random) -> Hostile:
    return Hostile("zstd bomb", zstandard.compress(bytes(rng.randrange(3, 9) * 1_000_000)))


def _zip_bomb(rng: random.Random) -> Hostile:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(rng.randrange(1, 4)):
            archive.writestr(f"../../b{n}", bytes(3_000_000))
    return Hostile("zip bomb", out.getvalue())


def _nested_zip(rng: random.Random) -> Hostile:
    value = GOOD_LINE
    for n in range(rng.randrange(5, 9)):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(f"{n}.zip", value)
        value = out.getvalue()
    return Hostile("nested zip", value)


def _broken_archive(rng: random.Random) -> Hostile:
    text = json.dumps([rng.random() for _ in range(2000)]).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", text)
    whole = rng.choice((gzip.compress(text), zstandard.compress(text), out.getvalue()))
    if rng.random() < 0.5:
        return Hostile("truncated archive", whole[: rng.randrange(8, len(whole) - 30)])
    value = bytearray(whole)
    for _ in range(50):
        value[rng.randrange(4, len(value))] = rng.randrange(256)
    return Hostile("damaged archive", bytes(value))


def _odd_file(rng: random.Random) -> Hostile:
    heads = (b"\x89PNG\r\n\x1a\n", b"MZ", b"%PDF-1.7", b"\x7fELF", b"")
    return Hostile("foreign file", rng.choice(heads) + b"\xfd" + rng.randbytes(500))


MAKERS: tuple[Maker, ...] = (
    _half_line,
    _deep,
    _zeros,
    _random,
    _no_object,
    _wrong_encoding,
    _broken_string,
    _evtx,
    _gzip_bomb,
    _zstd_bomb,
    _zip_bomb,
    _nested_zip,
    _broken_archive,
    _odd_file,
)


def corpus(count: int = 1000, seed: int = 20261123) -> Iterator[Hostile]:
    """Give `count` cases, the kinds in turn, a 10 MB field every hundredth."""
    rng = random.Random(seed)
    for n, make in enumerate(islice(cycle(MAKERS), count)):
        yield _long(rng) if n % 100 == 50 else make(rng)
