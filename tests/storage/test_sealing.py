"""A sealed secret opens in its place with its key, and nowhere else."""

import stat
from pathlib import Path

import pytest

from storage.errors import InvalidInput, Unavailable
from storage.sealing import Seal
from storage.settings import Secret, Settings

PLACE = ("acme", "subscriptions", "1")
WORD = Secret("s3cr3t-canary")


def test_a_secret_opens_in_its_place_only(tmp_path: Path) -> None:
    seal = Seal.of(Settings(data_dir=tmp_path))
    shut = seal.close(WORD, *PLACE)
    assert b"canary" not in shut
    assert seal.open(shut, *PLACE).reveal() == WORD.reveal()
    assert seal.close(WORD, *PLACE) != shut
    for place in (("bolt", *PLACE[1:]), (*PLACE[:2], "2"), ("acme", "other", "1")):
        with pytest.raises(Unavailable, match="give the secret anew"):
            seal.open(shut, *place)


def test_what_was_changed_or_cut_does_not_open(tmp_path: Path) -> None:
    seal = Seal.of(Settings(data_dir=tmp_path))
    shut = seal.close(WORD, *PLACE)
    for bad in (b"", b"1", shut[:-1], shut[:8], b"2" + shut[1:], shut[:-1] + bytes([shut[-1] ^ 1])):
        with pytest.raises(Unavailable, match="does not open"):
            seal.open(bad, *PLACE)


def test_the_key_is_made_once_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    shut = Seal.of(Settings(data_dir=tmp_path)).close(WORD, *PLACE)
    assert Seal.of(Settings(data_dir=tmp_path)).open(shut, *PLACE).reveal() == WORD.reveal()
    (file,) = (tmp_path / "keys").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(Unavailable):
        Seal.of(Settings(data_dir=tmp_path / "other")).open(shut, *PLACE)


def test_a_key_of_the_settings_serves_several_machines(tmp_path: Path) -> None:
    key = Secret("k" * 16)
    shut = Seal.of(Settings(data_dir=tmp_path, sealing_key=key)).close(WORD, *PLACE)
    there = Seal.of(Settings(data_dir=tmp_path / "b", sealing_key=key))
    assert there.open(shut, *PLACE).reveal() == WORD.reveal()
    assert not (tmp_path / "keys").exists()
    assert "kkk" not in repr(there)
    with pytest.raises(InvalidInput, match="under 16"):
        Seal.of(Settings(sealing_key=Secret("short")))
