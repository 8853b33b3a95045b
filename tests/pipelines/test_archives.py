import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
import zstandard

from pipelines.archives import Limits, members
from storage.errors import InvalidBatch

DEFAULT = Limits()


def zipped(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in files.items():
            archive.writestr(name, value)
    return out.getvalue()


def tarred(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, value in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(value)
            archive.addfile(info, io.BytesIO(value))
    return out.getvalue()


def unfold(value: bytes, limits: Limits = DEFAULT) -> dict[str, bytes | str]:
    """Give name -> bytes, or the reason why not."""
    found: dict[str, bytes | str] = {}
    for member in members(io.BytesIO(value), "a", limits):
        try:
            found[member.name] = member.reason or b"".join(member.chunks)
        except InvalidBatch as wrong:
            found[member.name] = str(wrong)
    return found


def test_a_plain_file_is_itself() -> None:
    assert unfold(b"hello") == {"a": b"hello"}


def test_members_of_every_kind_come_out_whole() -> None:
    big = bytes(range(256)) * 4096
    assert unfold(zipped(x=big, y=b"2")) == {"a!x": big, "a!y": b"2"}
    assert unfold(tarred(x=big, y=b"2")) == {"a!x": big, "a!y": b"2"}
    assert unfold(gzip.compress(big)) == {"a!a": big}
    assert unfold(gzip.compress(b"1") + gzip.compress(b"2")) == {"a!a": b"12"}
    assert unfold(zstandard.compress(big)) == {"a!a": big}
    assert unfold(gzip.compress(tarred(x=big))) == {"a!x": big}
    assert unfold(zstandard.compress(tarred(x=b"1"))) == {"a!x": b"1"}


def test_archives_are_looked_into_three_deep_and_no_deeper() -> None:
    inner = zipped(log=b"1")
    assert unfold(zipped(b=tarred(c=gzip.compress(b"1")))) == {"a!b!c!c": b"1"}
    four = zipped(b=zipped(c=zipped(d=inner)))
    assert unfold(four) == {"a!b!c!d": "archive nested deeper than 3"}


def test_long_tar_names_are_read() -> None:
    for style in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=style) as archive:
            info = tarfile.TarInfo("d/" * 100 + "é.log")
            info.size = 1
            archive.addfile(info, io.BytesIO(b"1"))
        assert unfold(out.getvalue()) == {"a!" + "d/" * 100 + "é.log": b"1"}


def test_a_bomb_is_refused_by_name_and_its_neighbours_go_on() -> None:
    bomb = zipped(x=bytes(3_000_000), y=b"fine")
    found = unfold(bomb, Limits(ratio=10, ratio_floor=1_000_000))
    assert found["a!x"] == "a!x: unfolds to more than 10 times its size"
    found = unfold(bomb, Limits(member_bytes=1_000_000))
    assert found == {"a!x": "a!x: unfolds to more than 1000000 bytes", "a!y": b"fine"}


def test_honest_repetition_below_the_floor_is_read() -> None:
    assert unfold(gzip.compress(bytes(3_000_000))) == {"a!a": bytes(3_000_000)}


def test_a_broken_member_is_refused_and_the_others_go_on() -> None:
    value = bytearray(zipped(x=bytes(range(256)) * 64, y=b"fine"))
    value[60:80] = b"\xff" * 20
    found = unfold(bytes(value))
    assert found["a!y"] == b"fine"
    assert str(found["a!x"]).startswith("a!x: archive is broken")


def test_an_encrypted_member_is_refused() -> None:
    value = bytearray(zipped(x=b"secret"))
    at = value.rfind(b"PK\x01\x02")
    value[at + 8] |= 1
    assert unfold(bytes(value)) == {"a!x": "encrypted; unpack it with its password first"}


def test_a_name_that_leads_out_is_only_a_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert unfold(zipped(**{"../../evil\n": b"1"})) == {"a!../../evil?": b"1"}
    assert list(tmp_path.iterdir()) == []


def test_cut_off_archives_are_refused_with_a_reason() -> None:
    big = bytes(range(256)) * 4096
    for whole in (zipped(x=big), tarred(x=big), gzip.compress(big), zstandard.compress(big)):
        found = unfold(whole[: len(whole) // 2])
        assert all(isinstance(v, str) for v in found.values()), found
        assert found


def test_too_many_members_are_refused() -> None:
    found = unfold(zipped(**{f"m{n}": b"1" for n in range(9)}), Limits(members=5))
    assert found["a"] == "a: more than 5 members"
